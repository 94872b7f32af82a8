/** Pickles and PyTorch's files, against values written by Python, and against files made to break or to deceive. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  FileFormatError,
  InertObject,
  loadSafetensors,
  memory,
  type NumpyArray,
  numpyNames,
  type PickleValue,
  readPickle,
  type StoredTensor,
  scope,
  withTorchFile,
} from "../src/index.js";
import { torchNames } from "../src/serialization/torch-names.js";

const golden = (name: string): string => fileURLToPath(new URL(`./golden/${name}`, import.meta.url));

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-pickle-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function makeFile(content: Uint8Array): string {
  const path = join(folder, "file.bin");
  writeFileSync(path, content);
  return path;
}

/** Why a file is refused: one line that names it. */
function refusal(content: Uint8Array): string {
  const path = makeFile(content);
  let caught: unknown;
  try {
    withTorchFile(path, ({ value }) => value);
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(FileFormatError);
  const { message } = caught as Error;
  expect(message).toContain(path);
  expect(message).not.toContain("\n");
  return message;
}

const latin1 = (text: string): Buffer => Buffer.from(text, "latin1");

describe("values written by Python", () => {
  test.each([0, 1, 2, 3, 4, 5])("protocol %i", (protocol) => {
    const names = new Map([...torchNames, ...numpyNames]);
    const root = readPickle(readFileSync(golden(`values-${protocol}.pkl`)), { names, keepUnknown: true });
    const get = (key: PickleValue): PickleValue => (root as Map<PickleValue, PickleValue>).get(key) as PickleValue;
    expect(get("none")).toBeNull();
    expect([get("yes"), get("no")]).toEqual([true, false]);
    expect(get("integers")).toEqual([0, 255, 256, 65535, 65536, -1, 2 ** 31 - 1, -(2 ** 31), 2 ** 53 - 1]);
    expect(get("large")).toEqual([2n ** 53n, -(2n ** 63n), 10n ** 30n]);
    expect(get("floats")).toEqual([0, -1.5, 1e300, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
    expect([get("text"), get("beyond")]).toEqual(["plain", "café 你 🐍 \\ \n"]);
    expect([...(get("bytes") as Uint8Array)]).toEqual(Array.from({ length: 256 }, (_, i) => i));
    const [tuple, list, map, text, bytes] = get("empty") as PickleValue[];
    expect([tuple, list, map, text, (bytes as Uint8Array).length]).toEqual([[], [], new Map(), "", 0]);
    expect(get("tuples")).toEqual([[1], [1, 2], [1, 2, 3], [1, 2, 3, 4]]);
    const [one, other] = get("shared") as PickleValue[];
    expect(one).toBe(other);
    const endless = get("endless") as PickleValue[];
    expect(endless[0]).toBe(endless);
    expect([get("set"), get("frozen")]).toEqual([new Set([3]), new Set([4])]);
    expect(get(7)).toBe("an integer as key");
    expect([...(get("ordered") as Map<PickleValue, PickleValue>)]).toEqual([
      ["b", 1],
      ["a", 2],
    ]);
    const object = get("object") as InertObject;
    expect(object).toBeInstanceOf(InertObject);
    expect([object.name, object.state]).toEqual(["stranger.Unknown", new Map([["size", 3]])]);
    expect((get("table") as InertObject).entries).toEqual(new Map([["x", 1]]));
    const array = get("array") as NumpyArray;
    expect([array.dtype, array.shape]).toEqual(["int16", [2, 3]]);
    expect([...array.bytes]).toEqual([0, 0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0]);
    const fortran = get("fortran") as NumpyArray;
    expect([...new Float32Array(Uint8Array.from(fortran.bytes).buffer)]).toEqual(
      Array.from({ length: 24 }, (_, i) => i),
    );
    expect(get("scalar")).toBe(0.25);
    expect(get("long")).toBe("x".repeat(300));
  });
});

test("arrays whose bytes are a text and a call that encodes it, as Python 3 writes them for Python 2", () => {
  const array =
    "\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85c_codecs\nencode\nX\x01\0\0\0bX\x06\0\0\0latin1" +
    "\x86R\x87R(K\x01K\x02\x85cnumpy\ndtype\nX\x02\0\0\0u1K\0K\x01\x87R(K\x03X\x01\0\0\0|NNNK\0K\0K\0tb\x89" +
    "c_codecs\nencode\nX\x03\0\0\0\xc3\xbfaX\x06\0\0\0latin1\x86Rtb.";
  const { shape, dtype, bytes } = readPickle(latin1(array), { names: numpyNames }) as NumpyArray;
  expect([shape, dtype, [...bytes]]).toEqual([[2], "uint8", [0xff, 0x61]]);
  const empty = readPickle(latin1("\x80\x02c__builtin__\nbytes\n)R."), { names: numpyNames });
  expect(empty).toEqual(new Uint8Array());
});

describe("tensors written by PyTorch", () => {
  const ramp = (...indices: number[]): number[] => indices;

  test.each([
    ["tensors-zip.pt", "zip"],
    ["tensors-legacy.pt", "legacy"],
    ["tensors-pickle.pkl", "pickle"],
  ])("%s", (name, wanted) => {
    const before = memory().tensors;
    withTorchFile(golden(name), ({ format, value, size }) =>
      scope(() => {
        expect(format).toBe(wanted);
        expect(size).toBe(readFileSync(golden(name)).length);
        const root = value as Map<PickleValue, PickleValue>;
        const numbers = (key: string): number[] => [...(root.get(key) as StoredTensor).toTensor().toFloat64Array()];
        const integers = ["uint8", "int8", "int16", "int32", "int64"];
        for (const dtype of [...integers, "float16", "bfloat16", "float32", "float64"]) {
          expect((root.get(dtype) as StoredTensor).dtype).toBe(dtype);
          expect((root.get(dtype) as StoredTensor).toTensor().dtype).toBe(dtype);
          expect(numbers(dtype), dtype).toEqual([0, 1, 2, 100]);
        }
        expect(numbers("bool")).toEqual([0, 1, 1, 1]);
        const complex = root.get("complex64") as StoredTensor;
        expect(complex.dtype).toBe("complex64");
        expect([...(complex.toTensor().toTypedArray() as Float32Array)]).toEqual([0, 0, 1, 0, 2, 0, 100, 0]);
        const shapes = ["scalar", "empty", "transposed", "part", "channels_last"].map(
          (key) => (root.get(key) as StoredTensor).shape,
        );
        expect(shapes).toEqual([[], [0, 3], [6, 4], [2, 2], [1, 2, 3, 4]]);
        expect(numbers("scalar")).toEqual([0.5]);
        expect(numbers("empty")).toEqual([]);
        expect(numbers("matrix")).toEqual(Array.from({ length: 24 }, (_, i) => i));
        expect(numbers("transposed").slice(0, 8)).toEqual(ramp(0, 6, 12, 18, 1, 7, 13, 19));
        expect(numbers("part")).toEqual(ramp(8, 10, 14, 16));
        expect(numbers("channels_last")).toEqual(Array.from({ length: 24 }, (_, i) => i));
        expect(numbers("parameter")).toEqual([1, 2]);
        expect((root.get("array") as NumpyArray).dtype).toBe("float64");
        expect(root.get("size")).toEqual([2, 3]);
      }),
    );
    expect(memory().tensors).toBe(before);
  });

  test.each(["tensors-zip.pt", "tensors-legacy.pt", "tensors-pickle.pkl"])("%s cut anywhere is refused", (name) => {
    const whole = readFileSync(golden(name));
    for (let at = 0; at < whole.length; at += at < 200 ? 1 : 61) refusal(whole.subarray(0, at));
    refusal(whole.subarray(0, whole.length - 1));
  });
});

test.each(["state-zip.pth", "state-legacy.pth"])(
  "%s: part of a published network's state dict, bit for bit",
  (name) => {
    // Written with PyTorch 1.13.1 from random weights under the published names; the safetensors file has the same bits.
    const { tensors } = loadSafetensors(golden("state.safetensors"));
    withTorchFile(golden(name), ({ value }) => {
      const state = value as Map<string, StoredTensor>;
      expect([...state.keys()].sort()).toEqual([...tensors.keys()].sort());
      for (const [key, stored] of state) {
        using found = stored.toTensor();
        expect([found.dtype, found.shape]).toEqual([tensors.get(key)!.dtype, tensors.get(key)!.shape]);
        expect(found.toTypedArray(), key).toEqual(tensors.get(key)!.toTypedArray());
      }
    });
    for (const value of tensors.values()) value.dispose();
  },
);

describe("files made to break or to deceive", () => {
  test.each<[string, string, RegExp]>([
    [
      "a command",
      "\x80\x02cposix\nsystem\nX\x04\0\0\0echo\x85R.",
      /"posix\.system".*made to run commands.*nothing was run/,
    ],
    ["a command in protocol 4", "\x80\x04\x8c\x02nt\x8c\x06system\x93\x8c\x04echo\x85R.", /"nt\.system"/],
    ["a command by its constructor", "(S'echo'\nios\nsystem\n.", /"os\.system"/],
    ["an evaluated text", "\x80\x02cbuiltins\neval\nX\x01\0\0\x001\x85R.", /"builtins\.eval"/],
    ["bytes that are not there", "\x80\x04\x8e\x00\x80\xc6\xa4\x7e\x8d\x03\x00.", /ends too early/],
    ["text that is not there", "\x80\x02X\xff\xff\xff\xffabc.", /ends too early/],
    ["an integer as long as the file", `\x80\x02\x8b\x00\x10\0\0${"\x01".repeat(4096)}.`, /integer of 4096 bytes/],
    ["nothing to end with", ".", /takes a value where there is none/],
    ["a value from below a mark", "\x80\x02N(\x85.", /takes a value where there is none/],
    ["a mark that was not set", "\x80\x02t.", /closes what it has not opened/],
    ["a memory of nothing", "\x80\x02h\x05.", /has not stored/],
    ["a call of a number", "\x80\x02K\x01)R.", /calls a value that is not a function/],
    ["a number as list", "\x80\x02K\x01K\x02a.", /appends to a value that is not a list/],
    ["an odd dictionary", "\x80\x02}(K\x01u.", /invalid dictionary/],
    ["an extension", "\x80\x02\x82\x01.", /opcode 0x82 .* is refused/],
    ["an object outside", "\x80\x02K\x01Q.", /outside itself/],
    ["a text", "this is a text, and no short one", /not a safetensors file, a zip archive or a pickle/],
    ["a web page", "<!DOCTYPE html><html></html>", /web page.*download it again/],
    ["a pointer", "version https://git-lfs.github.com/spec/v1\n", /git lfs pull/],
    ["nothing", "", /it is empty/],
    ["an archive of nothing", `PK\x05\x06${"\0".repeat(18)}`, /or a pickle/],
    ["the beginning of an archive", "PK\x03\x04", /no directory at its end/],
  ])("%s", (_, content, message) => {
    expect(refusal(latin1(content))).toMatch(message);
  });

  test("a hundred thousand lists in each other", () => {
    const path = makeFile(latin1(`\x80\x02${"]".repeat(100_000)}${"a".repeat(99_999)}.`));
    let depth = 0;
    withTorchFile(path, ({ value }) => {
      for (let at = value; Array.isArray(at); at = at[0] as PickleValue) depth++;
    });
    expect(depth).toBe(100_000);
  });

  test("a hundred thousand marks, and a hundred thousand calls in each other", () => {
    expect(refusal(latin1(`\x80\x02${"(".repeat(100_000)}.`))).toMatch(/where there is none/);
    const calls = latin1(`\x80\x02${"ca\nb\n".repeat(10_000)})${"\x85R".repeat(10_000)}.`);
    withTorchFile(makeFile(calls), ({ value }) => expect(value).toBeInstanceOf(InertObject));
  });

  /** A view of a storage of four elements inside the pickle; `tuple` makes one of what shape and stride put down. */
  function view(offset: string, shape: string, stride: string, tuple = "\x85"): Buffer {
    const inner = readFileSync(golden("tensors-pickle.pkl"));
    const begin = inner.indexOf("\x80\x02\x8a", 2, "latin1");
    // The first storage, of four bytes: from its magic number to its last element.
    const storage = inner.subarray(begin, inner.indexOf(Uint8Array.of(0, 1, 2, 100), begin) + 4);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(storage.length);
    return Buffer.concat([
      latin1("\x80\x03ctorch._utils\n_rebuild_tensor_v2\n(ctorch.storage\n_load_from_bytes\nB"),
      length,
      storage,
      latin1(`\x85R${offset}${shape}${tuple}${stride}${tuple}\x89NtR.`),
    ]);
  }
  const huge = "\x8a\x07\x00\x80\xc6\xa4\x7e\x8d\x03";

  test("views that reach outside their storage, and sizes that no storage has", () => {
    const path = makeFile(view("K\x01", "K\x03", "K\x01"));
    withTorchFile(path, ({ value }) => {
      using tensor = (value as StoredTensor).toTensor();
      expect(tensor.toArray()).toEqual([1, 2, 100]);
    });
    const message = /does not fit into its 4 stored elements/;
    expect(refusal(view("K\x02", "K\x03", "K\x01"))).toMatch(message);
    expect(refusal(view("K\x00", "K\x03", "K\x02"))).toMatch(message);
    expect(refusal(view("K\x00", huge, "K\x01"))).toMatch(message);
    expect(refusal(view("K\x00", huge, "K\x00"))).toMatch(message);
    expect(refusal(view(huge, "K\x01", "K\x01"))).toMatch(message);
    expect(refusal(view("K\x00", `${huge}${huge}K\x00\x87`, "K\x01K\x01K\x01\x87", ""))).toMatch(message);
    expect(refusal(view("K\x00", "J\xff\xff\xff\xff", "K\x01"))).toMatch(/not a view of a storage/);
  });

  test("a storage that declares another size than the archive has", () => {
    const whole = readFileSync(golden("tensors-zip.pt"));
    // The first persistent id: four elements of a storage of bytes.
    const at = whole.indexOf("cpu", 0, "latin1");
    const count = whole.indexOf("K\x04", at, "latin1");
    const changed = Buffer.from(whole);
    changed[count + 1] = 5;
    expect(refusal(changed)).toMatch(/storage "0" should have 5 bytes, the archive has 4/);
  });

  test("changed bytes give values or one line, never another failure", () => {
    let state = 1;
    const next = (below: number): number => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0;
      return (state >>> 8) % below;
    };
    const outcomes = { read: 0, refused: 0 };
    for (const name of ["tensors-zip.pt", "tensors-legacy.pt", "tensors-pickle.pkl", "values-0.pkl", "values-5.pkl"]) {
      for (let i = 0; i < 150; i++) {
        const content = Buffer.from(readFileSync(golden(name)));
        content[next(content.length)] = next(256);
        try {
          withTorchFile(makeFile(content), () => outcomes.read++);
        } catch (error) {
          expect(error, `${name}, change ${i}: ${(error as Error).stack}`).toBeInstanceOf(FileFormatError);
          outcomes.refused++;
        }
      }
    }
    expect(Math.min(outcomes.read, outcomes.refused)).toBeGreaterThan(50);
  });
});

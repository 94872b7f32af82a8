import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  arange,
  complex,
  type DType,
  FileFormatError,
  loadSafetensors,
  memory,
  ones,
  readSafetensorsMetadata,
  saveSafetensors,
  type Tensor,
  tensor,
  writeFileAtomically,
  zeros,
} from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { native } from "../src/native.js";
import { scopedTest } from "./support.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "safetensors-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const path = (name = "file.safetensors"): string => join(folder, name);

/** A file made by hand: the header's length, the header, the data. */
function file(
  header: string | object | Uint8Array,
  data: Uint8Array = new Uint8Array(),
  headerLength?: bigint,
): Uint8Array {
  const json = typeof header === "string" ? header : JSON.stringify(header);
  const text = header instanceof Uint8Array ? header : new TextEncoder().encode(json);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, headerLength ?? BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

function parts(bytes: Buffer): { header: string; data: Buffer } {
  const end = 8 + Number(bytes.readBigUInt64LE());
  return { header: bytes.toString("utf8", 8, end), data: bytes.subarray(end) };
}

/** The checksum in a header. */
const checksumIn = (header: string): string | undefined => /"checksum":"([^"]*)"/.exec(header)?.[1];

describe("what is saved is loaded", () => {
  scopedTest("every dtype, bit for bit", () => {
    const dtypes: DType[] = [
      "uint8",
      "int8",
      "int16",
      "int32",
      "int64",
      "float16",
      "float32",
      "float64",
      "bool",
      "bfloat16",
    ];
    const saved = new Map(
      dtypes.map((dtype) => [
        dtype as string,
        tensor([
          [1, 0, 3],
          [0.5, 100, 1],
        ]).to({ dtype }),
      ]),
    );
    saved.set("special", tensor(new Float64Array([Number.NaN, -0, 5e-324, Number.NEGATIVE_INFINITY])));
    saved.set("large", tensor(new BigInt64Array([2n ** 63n - 1n, -(2n ** 63n)])));
    saveSafetensors(path(), saved);
    const { tensors } = loadSafetensors(path());
    expect(new Set(tensors.keys())).toEqual(new Set(saved.keys()));
    for (const [name, loaded] of tensors) {
      const original = saved.get(name)!;
      expect([loaded.dtype, loaded.shape]).toEqual([original.dtype, original.shape]);
      expect(loaded.toTypedArray()).toEqual(original.toTypedArray());
    }
  });

  scopedTest("empty, single and rearranged tensors", () => {
    const matrix = arange(0, 24, 1, { dtype: "float32" }).view([2, 3, 4]);
    const channelsLast = matrix.unsqueeze(0).to({ memoryFormat: "channelsLast" });
    const saved: [string, Tensor][] = [
      ["empty", zeros([0])],
      ["flat", zeros([3, 0, 2])],
      ["single", tensor(7)],
      ["transposed", matrix.transpose(0, 2)],
      ["strided", matrix.slice(2, 0, 4, 3)],
      ["repeated", tensor([1]).expand([5])],
      ["channelsLast", channelsLast],
      ["trained", ones([2]).requiresGrad_()],
    ];
    saveSafetensors(path(), new Map(saved));
    const { tensors } = loadSafetensors(path());
    for (const [name, original] of saved) {
      expect(tensors.get(name)!.shape).toEqual(original.shape);
      expect(tensors.get(name)!.equal(original), name).toBe(true);
    }
  });

  scopedTest("metadata, and names of any letters", () => {
    const metadata = { step: "12", note: 'café "quoted"\n', __proto__ein: "" };
    const names = ["block.0.weight", "größe", "", "__proto__", "constructor", "7"];
    saveSafetensors(path(), new Map(names.map((name, i) => [name, tensor([i])])), metadata);
    expect(readSafetensorsMetadata(path())).toEqual(metadata);
    const content = loadSafetensors(path());
    expect(content.metadata).toEqual(metadata);
    for (const [i, name] of names.entries()) expect(content.tensors.get(name)!.item(), name).toBe(i);
  });

  scopedTest("only what is asked for", () => {
    saveSafetensors(
      path(),
      new Map([
        ["a", ones([2])],
        ["b", ones([1000])],
      ]),
    );
    const before = memory();
    const { tensors } = loadSafetensors(path(), (name) => name === "a");
    expect([...tensors.keys()]).toEqual(["a"]);
    expect(memory()).toEqual({ tensors: before.tensors + 1, bytes: before.bytes + 8 });
  });

  test("no tensors at all", () => {
    saveSafetensors(path(), new Map());
    expect(loadSafetensors(path()).tensors.size).toBe(0);
    writeFileSync(path(), file({}));
    expect(loadSafetensors(path())).toEqual({ tensors: new Map(), metadata: {} });
  });
});

describe("layout", () => {
  scopedTest("is the format's, byte for byte", () => {
    const tensors = new Map([
      ["bytes", tensor(new Uint8Array([7, 8, 9]))],
      ["x", tensor([[1, -2]])],
    ]);
    saveSafetensors(path(), tensors, { k: "v" });
    const { header, data } = parts(readFileSync(path()));
    const expected =
      `{"__metadata__":{"k":"v","checksum":"${checksumIn(header)}"},` +
      '"x":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},' +
      '"bytes":{"dtype":"U8","shape":[3],"data_offsets":[8,11]}}';
    expect(header.length % 8).toBe(0);
    expect(header).toBe(expected.padEnd(header.length, " "));
    expect(header.length - expected.length).toBeLessThan(8);
    expect(checksumIn(header)).toMatch(/^xxh64:[0-9a-f]{16}$/);
    // Little-endian float32 1 and -2, then the bytes.
    expect([...data]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 7, 8, 9]);
  });

  scopedTest("begins every tensor at a multiple of its element size", () => {
    const dtypes: DType[] = ["bool", "float64", "int8", "float32", "bfloat16", "int64", "uint8", "int16"];
    saveSafetensors(path(), new Map(dtypes.map((dtype) => [dtype as string, ones([3], { dtype })])));
    const bytes = readFileSync(path());
    const entries = Object.entries(
      JSON.parse(parts(bytes).header) as Record<string, { data_offsets: [number, number] }>,
    );
    const starts = entries
      .filter(([name]) => name !== "__metadata__")
      .map(
        ([
          ,
          {
            data_offsets: [begin, end],
          },
        ]) => begin % ((end - begin) / 3),
      );
    expect(starts).toEqual(dtypes.map(() => 0));
  });
});

describe("a checksum", () => {
  test("is XXH64", () => {
    const of = (text: string, seed = 0n): string =>
      native.checksum(new TextEncoder().encode(text), seed).toString(16).padStart(16, "0");
    // Published values.
    expect(of("")).toBe("ef46db3751d8e999");
    expect(of("a")).toBe("d24ec4f1a98c6e5b");
    expect(of("abc")).toBe("44bc2cf5ad770999");
    expect(of("Nobody inspects the spammish repetition")).toBe("fbcea83c8a378bf1");
    expect(of("as", 0n)).toBe("1c330fb2d66be179");
  });

  const content = (): Uint8Array => {
    saveSafetensors(
      path("summed"),
      new Map([
        ["a", tensor(Float32Array.from({ length: 100 }, (_, i) => i / 7))],
        ["b", tensor(new Uint8Array([1, 2, 3]))],
      ]),
      { note: "grün", clock: "12" },
    );
    return readFileSync(path("summed"));
  };

  scopedTest("finds every flipped bit of the data and of the metadata", () => {
    const valid = content();
    const { data, header } = parts(Buffer.from(valid));
    const start = valid.length - data.length;
    const note = 8 + Buffer.from(header).indexOf("grün");
    const places = [
      ...Array.from(data.keys(), (at) => start + at),
      note,
      8 + header.indexOf('"12"') + 1,
      8 + header.indexOf("xxh64") + 8,
    ];
    for (const at of places) {
      for (const bit of [1, 4]) {
        writeFileSync(path("flipped"), valid.with(at, (valid[at] as number) ^ bit));
        expect(() => loadSafetensors(path("flipped")), `byte ${at}`).toThrow(FileFormatError);
      }
    }
    writeFileSync(path("flipped"), valid.with(start, (valid[start] as number) ^ 1));
    expect(() => loadSafetensors(path("flipped"))).toThrow(
      /flipped cannot be read: its content does not have the checksum.*damaged/,
    );
    expect(() => loadSafetensors(path("summed"))).not.toThrow();
  });

  scopedTest("is not asked of files without one, nor of parts", () => {
    const bytes = Buffer.from(content());
    const { header } = parts(bytes);
    const bare = header.replace(`,"checksum":"${checksumIn(header)}"`, "");
    const data = bytes.subarray(8 + Buffer.byteLength(header)).map((byte) => byte ^ 1);
    writeFileSync(path("bare"), file(bare, data));
    expect([...loadSafetensors(path("bare")).tensors.keys()]).toEqual(["a", "b"]);
    // Another program's own entry of that name.
    writeFileSync(path("foreign"), file(header.replace(/xxh64:[0-9a-f]*/, "sha256:0123"), data));
    expect(loadSafetensors(path("foreign")).metadata["checksum"]).toBe("sha256:0123");
    const flipped = bytes.with(bytes.length - 1, 9);
    writeFileSync(path("flipped"), flipped);
    expect(loadSafetensors(path("flipped"), (name) => name === "a").tensors.size).toBe(1);
  });
});

describe("damaged files are refused in one line", () => {
  const f32 = (begin: number, end: number, shape: unknown = [1]): object => ({
    dtype: "F32",
    shape,
    data_offsets: [begin, end],
  });
  const bytes = (count: number): Uint8Array => new Uint8Array(count);
  const valid = file({ a: f32(0, 4), b: f32(4, 8) }, bytes(8));

  const damaged: [name: string, bytes: Uint8Array, message: string][] = [
    ["an empty file", bytes(0), "too short"],
    ["a file cut in its length", valid.subarray(0, 7), "too short"],
    ["a file cut in its header", valid.subarray(0, 40), "it is truncated"],
    ["a file cut in its data", valid.subarray(0, -1), "it is truncated"],
    ["a giant header", file("{}", bytes(0), 2n ** 63n), "or not a safetensors file"],
    ["a header over the format's limit", file("{}", bytes(0), 100_000_001n), "100000001 bytes"],
    [
      "a zip archive",
      new TextEncoder().encode("PK\u0003\u0004 something else, and long enough"),
      "not a safetensors file",
    ],
    ["a header that is not JSON", file("{'a': 1}"), "its header is not JSON"],
    ["a header that is not UTF-8", file(new TextEncoder().encode('{"?":1}').with(2, 0xff)), "its header is not JSON"],
    ["a header that is a list", file("[]"), "not a table of tensors"],
    ["a header that is null", file("null"), "not a table of tensors"],
    ["metadata that are no strings", file({ __metadata__: { step: 1 } }), "metadata are not a table of strings"],
    ["a tensor without description", file({ a: 1 }), 'tensor "a" has no description'],
    ["a name of two lines", file({ "a\nb": 1 }), 'tensor "a\\nb" has no description'],
    ["an unknown dtype", file({ a: { ...f32(0, 4), dtype: "F4" } }, bytes(4)), 'element type "F4"'],
    ["a missing dtype", file({ a: { shape: [1], data_offsets: [0, 4] } }, bytes(4)), "element type undefined"],
    ["a negative size", file({ a: f32(0, 4, [-1]) }, bytes(4)), "not a list of sizes"],
    ["a fractional size", file({ a: f32(0, 4, [0.5]) }, bytes(4)), "not a list of sizes"],
    ["a missing shape", file({ a: { dtype: "F32", data_offsets: [0, 4] } }, bytes(4)), "not a list of sizes"],
    ["three offsets", file({ a: { ...f32(0, 4), data_offsets: [0, 4, 8] } }, bytes(4)), "no valid offsets"],
    ["text for an offset", file({ a: { ...f32(0, 4), data_offsets: ["0", "4"] } }, bytes(4)), "no valid offsets"],
    ["a negative offset", file({ a: f32(-4, 0) }, bytes(4)), "no valid offsets"],
    ["offsets in the wrong order", file({ a: f32(4, 0) }, bytes(4)), "offsets that do not fit its shape"],
    ["offsets that do not fit the shape", file({ a: f32(0, 8) }, bytes(8)), "offsets that do not fit its shape"],
    [
      "a shape that overflows",
      file({ a: f32(0, 4, [2 ** 31, 2 ** 31]) }, bytes(4)),
      'tensor "a" has a shape of too many elements',
    ],
    [
      "a shape that overflows before its zero",
      file({ a: f32(0, 4), b: f32(4, 4, [2 ** 52, 2 ** 52, 0]) }, bytes(4)),
      'tensor "b" has a shape of too many elements',
    ],
    ["offsets beyond the end", file({ a: f32(4, 8) }, bytes(4)), 'tensor "a" ends at byte 8'],
    [
      "overlapping tensors",
      file({ a: f32(0, 8, [2]), b: f32(4, 8) }, bytes(8)),
      'tensor "b" begins at byte 4, not at 8',
    ],
    [
      "one place for two tensors",
      file({ a: f32(0, 4), b: f32(0, 4) }, bytes(4)),
      'tensor "b" begins at byte 0, not at 4',
    ],
    ["a gap", file({ a: f32(4, 8) }, bytes(8)), 'tensor "a" begins at byte 4, not at 0'],
    ["data that belong to nobody", file({ a: f32(0, 4) }, bytes(9)), "its tensors fill 4 of 9 bytes"],
    [
      "a name twice",
      file(`{"a":${JSON.stringify(f32(0, 4))},"a":${JSON.stringify(f32(4, 8))}}`, bytes(8)),
      "begins at byte 4",
    ],
  ];
  for (const [name, content, message] of damaged) {
    test(name, () => {
      const before = memory();
      writeFileSync(path("damaged"), content);
      let error: unknown;
      try {
        loadSafetensors(path("damaged"));
      } catch (caught) {
        error = caught;
      }
      expect(error).toBeInstanceOf(FileFormatError);
      const text = (error as Error).message;
      expect(text).toContain(message);
      expect(text.startsWith(`${path("damaged")} cannot be read: `)).toBe(true);
      expect(text).not.toContain("\n");
      expect(memory()).toEqual(before);
    });
  }

  test("a file that is not there keeps the system's error", () => {
    expect(() => loadSafetensors(path("nowhere"))).toThrow("ENOENT");
  });
});

describe("a failed write", () => {
  test("never puts a file in the place of a pipe, a device or a folder", () => {
    execFileSync("mkfifo", [path("pipe")]);
    mkdirSync(path("directory"));
    const bytes = new Uint8Array(3);
    expect(() => writeFileAtomically(path("pipe"), bytes)).toThrow("pipe cannot be written: it is a device or a pipe");
    expect(statSync(path("pipe")).isFIFO()).toBe(true);
    expect(() => writeFileAtomically(path("directory"), bytes)).toThrow("it is a folder");
  });

  scopedTest("into a missing folder or over a folder leaves nothing behind", () => {
    mkdirSync(path("occupied"));
    const before = readdirSync(folder).sort();
    const tensors = new Map([["a", ones([1])]]);
    expect(() => saveSafetensors(join(path("missing"), "file"), tensors)).toThrow("ENOENT");
    expect(() => saveSafetensors(path("occupied"), tensors)).toThrow();
    expect(readdirSync(folder).sort()).toEqual(before);
    expect(readdirSync(path("occupied"))).toEqual([]);
  });

  scopedTest("leaves the file of that name as it was", () => {
    const name = path("kept");
    saveSafetensors(name, new Map([["a", ones([2])]]));
    const original = readFileSync(name);
    const entries = readdirSync(folder).sort();
    const failure = new Error("disk full");
    expect(() =>
      writeFileAtomically(name, (descriptor) => {
        writeFileSync(descriptor, "half of");
        throw failure;
      }),
    ).toThrow(failure);
    const disposed = ones([1]);
    disposed.dispose();
    expect(() => saveSafetensors(name, new Map([["a", disposed]]))).toThrow("the tensor was disposed");
    expect(readFileSync(name).equals(original)).toBe(true);
    expect(readdirSync(folder).sort()).toEqual(entries);
  });

  scopedTest("because of a dtype or a name that the format lacks happens before any byte", () => {
    const name = path("never");
    expect(() => saveSafetensors(name, new Map([["z", complex(ones([1]), ones([1]))]]))).toThrow(
      'safetensors files cannot hold complex64 tensors ("z")',
    );
    expect(() => saveSafetensors(name, new Map([["__metadata__", ones([1])]]))).toThrow(TypeError);
    expect(existsSync(name)).toBe(false);
  });
});

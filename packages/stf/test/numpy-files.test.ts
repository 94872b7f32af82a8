/** Files that NumPy wrote (fixtures/numpy-files.py), and files for it. */

import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { isNpy, type NpyType, npyHeader, npyNumbers, parseNpy } from "../src/codecs/npy.js";
import { InputError } from "../src/common/errors.js";
import { readNpz } from "../src/data/npz.js";
import { failure, makeFile } from "./data-sources-support.js";

type Fixtures = Readonly<Record<string, string>> & { readonly numbers: Readonly<Record<string, string>> };
const fixtures = JSON.parse(
  readFileSync(new URL("fixtures/numpy-files.json", import.meta.url), "utf8"),
) as unknown as Fixtures;

const bytesOf = (base64: string | undefined): Buffer => Buffer.from(base64 as string, "base64");
const upTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

describe("npy", () => {
  test.each(Object.entries(fixtures.numbers))("%s", (name, base64) => {
    const array = parseNpy(bytesOf(base64), "a.npy");
    expect(array.shape).toEqual([3, 4]);
    if (!/version/.test(name)) expect(name).toContain(array.dtype);
    expect([...npyNumbers(array)]).toEqual(upTo(12).map((i) => (name === "bool" ? Math.min(i, 1) : i)));
  });

  test("three axes with the first one fastest, a scalar, and no elements", () => {
    const cube = parseNpy(bytesOf(fixtures["fortran, three axes"]), "a.npy");
    expect([cube.shape, [...npyNumbers(cube)]]).toEqual([[2, 3, 4], upTo(24)]);
    const scalar = parseNpy(bytesOf(fixtures.scalar), "a.npy");
    expect([scalar.shape, [...npyNumbers(scalar)]]).toEqual([[], [2.5]]);
    const empty = parseNpy(bytesOf(fixtures.empty), "a.npy");
    expect([empty.shape, empty.bytes.length]).toEqual([[0, 3], 0]);
  });

  test.each([
    ["objects", /^a.npy must hold numbers, found Python objects, which are never loaded; /],
    ["text", /found elements of the type <U2;/],
    ["record", /found elements of the type a record;/],
    ["float16", /found elements of the type <f2; save it with dtype/],
  ])("%s are refused", (name, message) => {
    expect(() => parseNpy(bytesOf(fixtures[name]), "a.npy")).toThrow(message);
  });

  test("damage is one clear line", () => {
    const whole = bytesOf(fixtures.numbers.float64);
    const parse = (bytes: Uint8Array) => () => parseNpy(bytes, "a.npy");
    expect(parse(whole.subarray(0, -1))).toThrow(
      "a.npy is damaged or truncated: its float64 array (3, 4) takes 96 bytes, found 95",
    );
    expect(parse(Buffer.concat([whole, Buffer.of(0)]))).toThrow("takes 96 bytes, found 97");
    for (let length = 0; length < 128; length++) expect(parse(whole.subarray(0, length))).toThrow(InputError);
    const declared = (shape: string): Buffer =>
      Buffer.from(whole.toString("latin1").replace("(3, 4), }", `(${shape}), }`), "latin1");
    expect(parse(declared("99999999999, 99999999999"))).toThrow(InputError);
    expect(parse(declared("3, -4"))).toThrow("is not an array of NumPy's npy format, or is damaged");
    expect(isNpy(whole) && !isNpy(whole.subarray(1))).toBe(true);
  });

  test("headers are NumPy's own", () => {
    for (const [name, base64] of Object.entries(fixtures.numbers)) {
      if (/fortran|endian|version/.test(name)) continue;
      const file = bytesOf(base64);
      const own = npyHeader(name as NpyType, [3, 4]);
      expect(parseNpy(Buffer.concat([own, file.subarray(128)]), "a.npy")).toEqual(parseNpy(file, "a.npy"));
      // NumPy leaves room for the first axis to grow; the description before it is the same.
      expect(own.toString("latin1").trimEnd()).toBe(file.toString("latin1", 0, 128).trimEnd());
    }
    expect(npyHeader("int64", [7]).toString("latin1")).toContain("(7,)");
  });
});

describe("npz", () => {
  test("statistics, and only the arrays that are wanted", async () => {
    const path = makeFile("reference.npz", bytesOf(fixtures.statistics));
    const all = await readNpz(path);
    expect([...all.keys()]).toEqual(["mu", "sigma"]);
    const { mu, sigma } = Object.fromEntries(all);
    expect([...npyNumbers(mu as NonNullable<typeof mu>)]).toEqual([-1, -0.5, 0, 0.5, 1]);
    const products = upTo(25).map((i) => Math.floor(i / 5) * ((i % 5) + 1));
    expect([...npyNumbers(sigma as NonNullable<typeof sigma>)]).toEqual(products);
    expect([...(await readNpz(path, (name) => name === "mu")).keys()]).toEqual(["mu"]);
  });

  test("compressed", async () => {
    const arrays = await readNpz(makeFile("data.npz", bytesOf(fixtures.compressed)));
    expect([...arrays].map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ["arr_0", "uint8", [3, 4]],
      ["arr_1", "int64", [3]],
    ]);
  });

  test("damage names the array", async () => {
    const bytes = bytesOf(fixtures.statistics);
    bytes[bytes.length - 300] = 1 + (bytes[bytes.length - 300] as number);
    const path = makeFile("reference.npz", bytes);
    expect(await failure(readNpz(path))).toBe(
      "sigma.npy in reference.npz cannot be unpacked: its checksum is wrong; download or pack the archive again",
    );
  });
});

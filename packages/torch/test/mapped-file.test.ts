/** Files as tensors that processes share. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mapFile, ShapeError } from "@stf/torch";
import { afterAll, expect, test } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "stf-mapped-"));
const path = join(folder, "values");
afterAll(() => rmSync(folder, { recursive: true }));

test("two mappings of a file are one memory, which outlives its name", () => {
  writeFileSync(path, new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer));
  using one = mapFile(path, { dtype: "float32", shape: [2, 3] });
  using other = mapFile(path, { dtype: "float32", shape: [6] });
  expect(one.shape).toEqual([2, 3]);
  one.fill_(7);
  expect(other.toTypedArray()).toEqual(new Float32Array(6).fill(7));
  expect(new Float32Array(new Uint8Array(readFileSync(path)).buffer)).toEqual(new Float32Array(6).fill(7));
  rmSync(path);
  other.fill_(8);
  expect(one.sum().item()).toBe(48);
});

test("a file that is missing or short is neither made nor lengthened", () => {
  expect(() => mapFile(join(folder, "none"), { shape: [1] })).toThrow(/ENOENT/);
  expect(existsSync(join(folder, "none"))).toBe(false);
  writeFileSync(path, new Uint8Array(5));
  expect(() => mapFile(path, { shape: [2, 3] })).toThrow(ShapeError);
  expect(() => mapFile(path, { shape: [2, 3] })).toThrow(/has 5 bytes, and the shape .* needs 6/);
  expect(readFileSync(path).length).toBe(5);
});

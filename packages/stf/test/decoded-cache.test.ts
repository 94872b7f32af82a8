/** Decoded images kept in a folder: the same bank and notes, and never those of other files. */

import { existsSync, readdirSync, readFileSync, renameSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { memory } from "@stf/torch";
import { describe, expect, test } from "vitest";
import type { ImageBank } from "../src/data/image-bank.js";
import { openDataset } from "../src/data/open.js";
import { makeFolder, makeZip, newPath, pattern, plainJpeg, png } from "./data-sources-support.js";

const image = (seed: number): Uint8Array => png(pattern(12 * 12 * 3, { seed }), 12, 12, 3);

/** The images as bytes, and what is known of them. */
async function read(path: string, cache?: string): Promise<[content: unknown, notes: string[]]> {
  const notes: string[] = [];
  const bank: ImageBank = await openDataset(path, {
    onNote: (line) => notes.push(line),
    ...(cache !== undefined && { cache }),
  });
  const { name, shape, labels, classNames, unlabelled } = bank;
  const content = { name, shape, labels, classNames, unlabelled, pixels: [...bank.pixels.toTypedArray()] };
  bank.dispose();
  return [content, notes];
}

const entries = (cache: string): string[] => readdirSync(join(cache, "images"));
const partOf = (cache: string): string => join(cache, "images", entries(cache)[0] as string, "0000.safetensors");

const files = {
  "a/1.png": image(1),
  "b/2.png": Buffer.concat([image(2), Buffer.of(0)]),
  "b/3.png": image(3),
  "text.txt": "not an image",
};

describe.each([
  ["folder", (content: typeof files) => makeFolder(content)],
  ["zip", (content: typeof files) => makeZip(content)],
] as const)("a %s", (_, make) => {
  test("gives the same from the cache, which is really read, and from damaged one", async () => {
    const [path, cache] = [await make(files), newPath("cache")];
    const without = await read(path);
    expect(without[1]).toHaveLength(2);
    expect(await read(path, cache)).toEqual(without);
    expect(entries(cache)).toHaveLength(1);
    const before = memory().tensors;
    const times = statSync(partOf(cache)).mtimeMs;
    expect(await read(path, cache)).toEqual(without);
    expect(statSync(partOf(cache)).mtimeMs).toBe(times);
    const stored = readFileSync(partOf(cache));
    for (const damage of [0, 60, stored.length - 5]) {
      const bytes = Buffer.from(stored);
      bytes[damage] = (bytes[damage] as number) ^ 1;
      writeFileSync(partOf(cache), bytes);
      expect(await read(path, cache)).toEqual(without);
      // It was written again.
      expect(readFileSync(partOf(cache))).toEqual(stored);
    }
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });

  test("is decoded when its files have changed", async () => {
    const cache = newPath("cache");
    await read(await make(files), cache);
    for (const [i, changed] of [
      { ...files, "b/3.png": image(4) },
      { ...files, "b/4.png": image(4) },
      { "a/1.png": files["b/3.png"], "b/2.png": files["b/2.png"], "b/3.png": files["a/1.png"], "text.txt": "" },
    ].entries()) {
      const path = await make(changed);
      expect(await read(path, cache)).toEqual(await read(path));
      expect(entries(cache)).toHaveLength(i + 2);
    }
  });
});

test("a zip is recognised wherever it is, and its name and classes are not those of the cache", async () => {
  const [path, cache] = [await makeZip(files), newPath("cache")];
  await read(path, cache);
  const moved = join(newPath("other"), "..", "cats.zip");
  renameSync(path, moved);
  const [content] = await read(moved, cache);
  expect(content).toMatchObject({ name: "cats", classNames: ["a", "b"] });
  expect(entries(cache)).toHaveLength(1);
});

test("a file of a folder that is replaced by one of the same size and time is noticed", async () => {
  const [path, cache] = [makeFolder({ "1.png": image(1), "2.png": image(2) }), newPath("cache")];
  await read(path, cache);
  const { atime, mtime, size } = statSync(join(path, "1.png"));
  const other = image(7);
  expect(other.length).toBe(size);
  writeFileSync(join(path, "1.png"), other);
  utimesSync(join(path, "1.png"), atime, mtime);
  expect(await read(path, cache)).toEqual(await read(path));
});

test("a place that cannot be written is noted, and nothing is left half written", async () => {
  const path = await makeZip({ "1.png": image(1) });
  const cache = newPath("cache");
  writeFileSync(cache, "a file");
  const [content, notes] = await read(path, cache);
  expect(content).toEqual((await read(path))[0]);
  expect(notes).toEqual([
    expect.stringMatching(/^the decoded images cannot be kept in \S+images: a file of that name/),
  ]);
});

test("images that cannot be used are not kept", async () => {
  const cache = newPath("cache");
  const jpeg = await plainJpeg([1, 2, 3], 12, 12);
  const path = makeFolder({ "1.png": image(1), "2.jpg": jpeg.subarray(0, -30) });
  await expect(read(path, cache)).rejects.toThrow("cannot be decoded");
  expect(existsSync(cache)).toBe(false);
});

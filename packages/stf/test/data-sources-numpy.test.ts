/** NumPy's arrays as data sets. */

import { readFileSync } from "node:fs";
import { memory } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { type NpyType, npyHeader } from "../src/codecs/npy.js";
import type { ImageBank } from "../src/data/image-bank.js";
import { type DatasetOptions, openDataset } from "../src/data/open.js";
import { type Files, failure, makeFile, makeFolder, makeZip, pattern, pixelsOf } from "./data-sources-support.js";

const [count, height, width] = [5, 6, 7];

function npy(dtype: NpyType, shape: readonly number[], values: ArrayBufferView): Buffer {
  return Buffer.concat([npyHeader(dtype, shape), new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]);
}

/** Bytes `[N, C, H, W]`, and as they are in an array with the channels last. */
function images(channels: number): { planes: number[]; interleaved: Uint8Array } {
  const planes = pattern(count * channels * height * width, { seed: channels });
  const area = height * width;
  const interleaved = Uint8Array.from(planes, (_, i) => {
    const [image, pixel, channel] = [Math.floor(i / (channels * area)), Math.floor(i / channels) % area, i % channels];
    return planes[(image * channels + channel) * area + pixel] as number;
  });
  return { planes, interleaved };
}

const { planes, interleaved } = images(3);
const colours = npy("uint8", [count, height, width, 3], interleaved);
const labels = (values: readonly number[]): Buffer => npy("int64", [values.length], BigInt64Array.from(values, BigInt));

const openZip = async (files: Files, options?: DatasetOptions): Promise<ImageBank> =>
  openDataset(await makeZip(files), options);
const allPixels = (bank: ImageBank): number[] => Array.from({ length: bank.count }, (_, i) => pixelsOf(bank, i)).flat();

test.each<[string, Buffer, string]>([
  ["of another number", labels([1, 2]), "y (int64 [2])"],
  ["of fractions", npy("float64", [count], new Float64Array(count)), "y (float64 [5])"],
])("labels %s are not passed over silently", async (_, y, found) => {
  const notes: string[] = [];
  const bank = await openZip({ "x.npy": colours, "y.npy": y }, { onNote: (line) => void notes.push(line) });
  expect(bank.labels).toBeUndefined();
  expect(notes).toEqual([`no labels: ${found} must be 5 whole numbers, one for each image`]);
});

describe("images", () => {
  test.each<[string, number, number[], ArrayLike<number>, number[]]>([
    ["[N, H, W, 3]", 3, [height, width, 3], interleaved, planes],
    ["[N, 3, H, W]", 3, [3, height, width], planes, planes],
    ["[N, H, W]", 1, [height, width], images(1).planes, images(1).planes],
    ["[N, H, W, 1]", 1, [height, width, 1], images(1).planes, images(1).planes],
    ["[N, 1, H, W]", 1, [1, height, width], images(1).planes, images(1).planes],
    [
      "[N, H, W, 4]",
      3,
      [height, width, 4],
      images(4).interleaved,
      images(4).planes.filter((_, i) => Math.floor(i / (height * width)) % 4 < 3),
    ],
  ])("of the axes %s, deflated or not, in a folder or alone", async (_, channels, axes, stored, expected) => {
    const file = npy("uint8", [count, ...axes], Uint8Array.from(stored));
    const zips = [true, false].map((compress) => makeZip({ "arr_0.npy": file }, { compress }));
    for (const path of [...(await Promise.all(zips)), makeFolder({ "x.npy": file }), makeFile("x.npy", file)]) {
      const bank = await openDataset(path);
      expect(bank.shape).toEqual({ channels, height, width });
      expect(allPixels(bank)).toEqual(expected);
      expect(bank.labels).toBeUndefined();
      expect(bank.unlabelled).toMatch(/has no array of 5 whole numbers$/);
      bank.dispose();
    }
  });

  test("are told by the content, whatever the file is called, and named after it", async () => {
    expect((await openDataset(makeFile("cats.npy", colours))).name).toBe("cats");
    expect((await openDataset(makeFile("cats", colours))).count).toBe(count);
  });

  test("larger than a block come in order, with progress", async () => {
    const [side, number] = [256, 70];
    const values = new Uint8Array(number * side * side).map((_, i) => i % 251);
    const calls: number[] = [];
    const file = npy("uint8", [number, side, side], values);
    const bank = await openZip({ "images.npy": file }, { onProgress: (done) => calls.push(done) });
    expect(calls).toEqual([64, 70]);
    for (const i of [0, 63, 64, 69]) {
      expect(Uint8Array.from(pixelsOf(bank, i))).toEqual(values.subarray(i * side * side, (i + 1) * side * side));
    }
  });

  test("with the first axis fastest", async () => {
    const file = npy(
      "uint8",
      [2, 2, 6],
      Uint8Array.from({ length: 24 }, (_, i) => i),
    );
    const fortran = Buffer.from(file.toString("latin1").replace("False, ", "True,  "), "latin1");
    const bank = await openDataset(makeFile("x.npy", fortran));
    // Element [n, y, x] is at n + 2 * y + 4 * x.
    const row = (n: number, y: number): number[] => Array.from({ length: 6 }, (_, x) => n + 2 * y + 4 * x);
    expect(allPixels(bank)).toEqual([0, 1].flatMap((n) => [0, 1].flatMap((y) => row(n, y))));
  });
});

describe("labels", () => {
  const values = [3, 0, 2, 2, 1];

  test.each<[string, string, Buffer]>([
    ["arr_0", "arr_1", labels(values)],
    ["images", "labels", npy("uint8", [count], Uint8Array.from(values))],
    ["x", "y", npy("int32", [count, 1], Int32Array.from(values))],
  ])("of %s are in %s", async (x, y, array) => {
    const bank = await openZip({ [`${x}.npy`]: colours, [`${y}.npy`]: array });
    expect([...(bank.labels as Int32Array)]).toEqual(values);
    const without = await openZip({ [`${x}.npy`]: colours, [`${y}.npy`]: array }, { labels: false });
    expect([without.labels, without.unlabelled]).toEqual([undefined, undefined]);
  });

  test("are those of the part for training, as are the images", async () => {
    const notes: string[] = [];
    const test = npy("uint8", [2, height, width, 3], interleaved.subarray(0, 2 * height * width * 3));
    const bank = await openZip(
      { "x_test.npy": test, "x_train.npy": colours, "y_test.npy": labels([1, 1]), "y_train.npy": labels(values) },
      { onNote: (line) => notes.push(line) },
    );
    expect([...(bank.labels as Int32Array)]).toEqual(values);
    expect(notes).toEqual(["using the images x_train (uint8 [5, 6, 7, 3]), not x_test (uint8 [2, 6, 7, 3])"]);
  });

  test("are not in what is damaged or no numbers, which is noted", async () => {
    const objects = Buffer.from(colours.toString("latin1").replace("'|u1'", "'|O' "), "latin1");
    const notes: string[] = [];
    const bank = await openZip(
      { "x.npy": colours, "y.npy": "?", "z.npy": objects },
      { onNote: (line) => notes.push(line) },
    );
    expect(bank.labels).toBeUndefined();
    expect(notes).toEqual([
      expect.stringMatching(/^passed over: y\.npy in \S+ is not an array of NumPy's npy format, or is damaged$/),
      expect.stringMatching(/^passed over: z\.npy in \S+ must hold numbers, found Python objects, which are never/),
    ]);
    expect(await failure(openZip({ "z.npy": objects }))).toMatch(/^z\.npy .* found Python objects/);
  });

  test("are not any numbers", async () => {
    const numbers = npy("float32", [count], new Float32Array(count));
    expect((await openZip({ "arr_0.npy": colours, "arr_1.npy": numbers })).labels).toBeUndefined();
    const negative = openZip({ "arr_0.npy": colours, "arr_1.npy": labels([0, 1, 2, -1, 0]) });
    expect(await failure(negative)).toMatch(/^labels must be whole numbers from 0 on, arr_1\.npy in \S+ has -1$/);
    const two = { "arr_0.npy": colours, "ages.npy": labels(values), "rooms.npy": labels(values) };
    expect(await failure(openZip(two))).toMatch(
      /must have one array of labels, found ages \(int64 \[5\]\), rooms \(int64 \[5\]\); name one of them "labels"/,
    );
    expect((await openZip({ ...two, "labels.npy": labels(values) })).labels).toHaveLength(count);
    expect((await openZip(two, { labels: false })).labels).toBeUndefined();
  });
});

describe("one clear line", () => {
  const statistics = { "mu.npy": npy("float64", [4], new Float64Array(4)) };
  const floats = npy("float32", [count, height, width], new Float32Array(count * height * width));

  test.each<[string, Files, RegExp]>([
    ["statistics", statistics, /must hold images, an array \[N, H, W, C\], .* found mu \(float64 \[4\]\)$/],
    ["two sets", { "a.npy": colours, "b.npy": colours }, /must hold one array of images, found a .*, b .*; save one/],
    ["floats", { "x.npy": floats }, /images must be bytes \(uint8\), x\.npy in \S+ holds float32; convert values in/],
    [
      "integers",
      { "x.npy": npy("int16", [1, 2, 2], new Int16Array(4)) },
      /holds int16; if they are from 0 to 255, save x\.astype\('uint8'\)$/,
    ],
    ["one image", { "x.npy": npy("uint8", [8, 8, 3], new Uint8Array(192)) }, /which is one colour image, or narrow/],
    ["channels twice", { "x.npy": npy("uint8", [2, 3, 9, 3], new Uint8Array(162)) }, /the second axis or the last;/],
    ["no channels", { "x.npy": npy("uint8", [2, 5, 9, 9], new Uint8Array(810)) }, /without an axis of channels;/],
    ["nothing", { "x.npy": npy("uint8", [0, 5, 9], new Uint8Array()) }, /x\.npy in \S+ holds no images$/],
    ["truncation", { "x.npy": colours.subarray(0, -5) }, /array \(5, 6, 7, 3\) takes 630 bytes, found 625$/],
    ["excess", { "x.npy": Buffer.concat([colours, Buffer.alloc(9)]) }, /takes 630 bytes, found 639$/],
  ])("about %s", async (_, files, message) => {
    const before = memory().tensors;
    expect(await failure(openZip(files))).toMatch(message);
    expect(await failure(openDataset(makeFolder(files)))).toMatch(
      new RegExp(message.source.replace("x\\.npy in \\S+", "\\S+x\\.npy")),
    );
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });

  test("about a wrong checksum, and a file that is no archive", async () => {
    const file = Buffer.from(npy("uint8", [1, 2, 2], Uint8Array.of(7, 7, 7, 7)));
    const bytes = readFileSync(await makeZip({ "x.npy": file }, { compress: false }));
    const place = bytes.indexOf(Buffer.of(7, 7, 7, 7));
    bytes[place] = 8;
    expect(await failure(openDataset(makeFile("x.npz", bytes)))).toMatch(
      /^x\.npy in x\.npz cannot be unpacked: its checksum is wrong; download or pack the archive again$/,
    );
    expect(await failure(openDataset(makeFile("x.npz", "text")))).toMatch(/x\.npz is not a zip archive, or is damaged/);
  });
});

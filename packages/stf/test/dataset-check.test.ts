/** `stf dataset check`: what is found, and how it is told. */

import { readFileSync } from "node:fs";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { reportLines } from "../src/cli/dataset-report.js";
import { resizeLanczos } from "../src/codecs/lanczos.js";
import type { CheckRequest } from "../src/config/dataset-request.js";
import { openDataset } from "../src/data/open.js";
import { type CheckResult, checkDataset } from "../src/jobs/check-dataset.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import {
  type Files,
  failure,
  makeFile,
  makeFolder,
  makeZip,
  newPath,
  pattern,
  plainJpeg,
  plainPng,
  png,
} from "./data-sources-support.js";
import { idxBytes, randomBytes } from "./support.js";

const check = (data: string, request: Partial<CheckRequest> = {}): Promise<CheckResult> =>
  checkDataset({ data, ...request });

/** A random smooth image as a PNG. */
function smooth(seed: number, width: number, height: number): Uint8Array {
  const coarse = { pixels: randomBytes(5 * 4 * 3, seed), width: 5, height: 4, channels: 3 };
  return png([...resizeLanczos(coarse, width, height).pixels], width, height, 3);
}

async function oddPhotos(): Promise<Files> {
  const base = sharp(smooth(1, 60, 40));
  return {
    "cat/1.png": smooth(1, 60, 40),
    "cat/2.png": smooth(2, 60, 40),
    "cat/deep.png": await base.clone().toColourspace("rgb16").png().toBuffer(),
    "cat/small.webp": await base.clone().resize(45, 30).webp({ quality: 90 }).toBuffer(),
    "dog/1.jpg": await plainJpeg([7], 30, 50),
    "dog/alpha.png": plainPng([9, 9, 9, 100], 30, 50),
    "dog/copy.png": smooth(2, 60, 40),
    "dog/text.png": "text",
  };
}

describe("odd photos", () => {
  test("are counted by size, mode and class; unreadable files and duplicates are named", async () => {
    const folder = makeFolder(await oddPhotos());
    const found = await check(folder);
    expect(found.count).toBe(8);
    expect(found.sizes).toEqual([
      { name: "60x40", count: 4 },
      { name: "30x50", count: 2 },
      { name: "45x30", count: 1 },
    ]);
    expect(found.leastSide).toBe(30);
    expect(Object.fromEntries(found.modes.map(({ name, count }) => [name, count]))).toEqual({
      "png rgb": 3,
      "png rgb 16 bits": 1,
      "webp rgb": 1,
      "jpeg grey": 1,
      "png rgb with alpha": 1,
    });
    expect([found.transparent, found.channels, found.bankBytes]).toEqual([1, 3, null]);
    expect(found.classes).toEqual([
      { name: "cat", count: 4 },
      { name: "dog", count: 4 },
    ]);
    expect(found.unreadable.map(({ name }) => name)).toEqual(["dog/text.png"]);
    // The upper 8 of 16 bits are those of the original.
    expect(found.duplicates).toEqual([
      ["cat/1.png", "cat/deep.png"],
      ["cat/2.png", "dog/copy.png"],
    ]);
    expect(found.nearDuplicates?.map(({ names }) => names)).toEqual([["cat/1.png", "cat/small.webp"]]);
    const lines = reportLines(found).join("\n");
    expect(lines).toMatch(/^images {6}8 in /);
    expect(lines).toMatch(/unreadable {2}1: dog\/text\.png\./);
    expect(lines).toMatch(/sizes {7}3: 60x40 \(4\), 30x50 \(2\), 45x30 \(1\)/);
    expect(lines).toMatch(/duplicates {2}2 in 2 groups: cat\/1\.png = cat\/deep\.png/);
    expect(lines).toMatch(/near {8}1 pair: cat\/1\.png ~ cat\/small\.webp \(0\.99\d\)/);
    expect(lines).toMatch(
      /dataset convert --source=\S+ --dest=\S+photos-16x16\.zip --resolution=16x16 --transform=center-crop --skip-unreadable$/,
    );
  });

  test("are written as JSON", async () => {
    const json = newPath("found.json");
    const found = await check(makeFolder(await oddPhotos()), { json, near: false });
    expect(JSON.parse(readFileSync(json, "utf8"))).toEqual(JSON.parse(JSON.stringify(found)));
    expect(found.nearDuplicates).toBeNull();
    expect(reportLines(found).join("\n")).toMatch(/near {8}not searched/);
  });
});

test("a set that can be trained on: its memory, and the moments of what training reads", async () => {
  const files = Object.fromEntries(
    [1, 2, 3].map((seed) => [`${seed}.png`, png(pattern(8 * 8 * 3, { seed }), 8, 8, 3)]),
  );
  const zip = await makeZip(files);
  const { values, bankBytes, classes, unlabelled } = await check(zip);
  const bank = await openDataset(zip);
  const x = bank.toValues(bank.rows).double();
  const deviation = x.sub(x.mean()).square().mean().sqrt().item();
  expect(values?.sigmaData).toBeCloseTo(deviation, 6);
  expect([bankBytes, classes]).toEqual([bank.count * bank.dimension, null]);
  expect(unlabelled).toMatch(/its images are not in folders/);
  expect(reportLines(await check(zip)).at(-1)).toMatch(/train --data=\S+photos\.zip --dry-run/);
});

test("idx files, classes without images, and one image", async () => {
  const folder = makeFolder({
    "train-images-idx3-ubyte": idxBytes([4, 2, 2], [0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 9, 9, 9, 9]),
    "train-labels-idx1-ubyte": idxBytes([4], [0, 3, 3, 3]),
  });
  const found = await check(folder);
  expect(found.classes?.map(({ count }) => count)).toEqual([1, 0, 0, 3]);
  expect(found.duplicates).toEqual([["image 0", "image 2"]]);
  expect(reportLines(found).join("\n")).toMatch(/classes {5}4, 0 to 3 images each; 2 without images/);
  const one = await check(makeFile("one.zip", readFileSync(await makeZip({ "a.png": plainPng([1, 2, 3]) }))));
  expect(one.values).toEqual({
    mean: [1, 2, 3],
    contrast: [0, 0, 0],
    sigmaData: expect.closeTo(Math.sqrt(2 / 3) / 127.5, 9),
  });
});

test("nothing readable is told, too; nothing at all is refused; it can be stopped", async () => {
  const found = await check(makeFolder({ "a.png": "text" }));
  expect([found.values, found.sizes, found.leastSide]).toEqual([null, [], 0]);
  expect(reportLines(found)[1]).toMatch(/unreadable {2}1: a\.png/);
  expect(await failure(check(makeFolder({})))).toMatch(/must hold images/);
  const context = jobContext({ shouldStop: () => true });
  await expect(checkDataset({ data: makeFolder({ "a.png": plainPng([1]) }) }, context)).rejects.toThrow(Stopped);
});

/** Training a classifier as a job, and `stf features` as people run it. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { readClassifier } from "../src/checkpoints/classifier-file.js";
import { writePng } from "../src/codecs/png.js";
import { InputError, UsageError } from "../src/common/errors.js";
import { featuresFields } from "../src/config/features-options.js";
import { automaticEpochs, type FeaturesRequest } from "../src/config/features-request.js";
import { flagOf } from "../src/config/fields.js";
import { digestOfImages } from "../src/data/image-digest.js";
import { openDataset } from "../src/data/open.js";
import { jobContext } from "../src/jobs/context.js";
import { trainFeatures } from "../src/jobs/train-features.js";
import { commandIn } from "./cli-support.js";
import { idxBytes, listener, uniforms } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-train-features-"));
const { stf, expectFailure, killAll } = commandIn(folder);
afterAll(() => {
  killAll();
  rmSync(folder, { recursive: true, force: true });
});

/** An idx file of 6x6 images whose class is the row of their light line; with labels, if `classes` is given. */
function makeIdx(name: string, count: number, { classes = 3, size = 6, labelled = true } = {}): string {
  const random = uniforms(count);
  const labels = Uint8Array.from({ length: count }, () => Math.floor(classes * random()));
  const bytes = Uint8Array.from({ length: count * size * size }, (_, i) => {
    const row = Math.floor((i % (size * size)) / size);
    return 60 * random() + (row === labels[Math.floor(i / (size * size))] ? 180 : 0);
  });
  const path = join(folder, `${name}-images-idx3-ubyte`);
  writeFileSync(path, idxBytes([count, size, size], bytes));
  if (labelled) writeFileSync(join(folder, `${name}-labels-idx1-ubyte`), idxBytes([count], labels));
  return path;
}

const data = makeIdx("rows", 300);
const small: FeaturesRequest = { data, dim: 8, width: 4, epochs: 8, batch: 16, lr: 0.01 };

test("from images to a file that says what it is", async () => {
  const dest = join(folder, "new", "rows.safetensors");
  const { lines, reporter } = listener();
  const before = memory().tensors;
  const result = await trainFeatures({ ...small, dest }, jobContext({ reporter }));
  expect(memory().tensors).toBe(before);
  expect(result).toMatchObject({ reason: "finished", file: dest });
  expect(readdirSync(join(folder, "new"))).toEqual(["rows.safetensors"]);
  const bank = await openDataset(data);
  const stored = await readClassifier(dest);
  expect(stored.about).toEqual(result.about);
  expect(stored.sha256).toBe(result.sha256);
  expect(stored.about).toMatchObject({
    ...{ images: 270, dataDigest: digestOfImages(bank), classNames: null, epochs: 8, batch: 16, lr: 0.01, seed: 0 },
    accuracy: { images: 30, from: "held out" },
  });
  expect(stored.about.accuracy.correct).toBeGreaterThan(26);
  expect(lines[0]).toMatch(
    /^training on 270 images of 6x6x1 in 3 classes, 8 times; accuracy on 30 others \(held out\)$/,
  );
  expect(lines.filter((line) => /accuracy so far \d\.\d{4}$/.test(line))).toHaveLength(7);
  stored.dispose();
  bank.dispose();
});

test("the accuracy is that on a test set, if there is one, and all images are trained on", async () => {
  const dest = join(folder, "tested.safetensors");
  const testData = makeIdx("others", 120);
  const { about } = await trainFeatures({ ...small, testData, dest });
  expect(about).toMatchObject({ images: 300, accuracy: { images: 120, from: "others-images" } });
  expect(about?.accuracy.correct).toBeGreaterThan(108);
});

test("a data set whose files are named after its parts is named after its folder", async () => {
  mkdirSync(join(folder, "lines"));
  const path = makeIdx(join("lines", "train"), 100);
  for (const given of [path, join(folder, "lines")]) {
    const { about } = await trainFeatures({
      ...small,
      epochs: 1,
      data: given,
      dest: join(folder, "named.safetensors"),
    });
    expect(about?.data).toBe("lines/train-images");
  }
});

test("the same request gives the same file, byte for byte", async () => {
  const files = ["one", "two"].map((name) => join(folder, `${name}.safetensors`));
  for (const dest of files) await trainFeatures({ ...small, epochs: 1, dest });
  const [one, two] = files.map((file) => readFileSync(file)) as [Buffer, Buffer];
  expect(one.equals(two)).toBe(true);
});

test("a training that is stopped leaves the earlier file", async () => {
  const dest = join(folder, "kept.safetensors");
  writeFileSync(dest, "earlier");
  let steps = 0;
  const result = await trainFeatures({ ...small, dest }, jobContext({ shouldStop: () => ++steps > 5 }));
  expect(result).toMatchObject({ reason: "stopped", file: undefined });
  expect(readFileSync(dest, "utf8")).toBe("earlier");
});

test.each([
  [100, 100],
  [10_000, 25],
  [45_000, 6],
  [54_000, 5],
  [1_000_000, 1],
])("%i images are seen %i times", (count, epochs) => {
  expect(automaticEpochs(count)).toBe(epochs);
});

/** A folder with a folder of grey PNG files for each class. */
function makeFolders(name: string, counts: Readonly<Record<string, number>>): string {
  for (const [label, count] of Object.entries(counts)) {
    const path = join(folder, name, label);
    mkdirSync(path, { recursive: true });
    const shape = { channels: 1, height: 6, width: 6 };
    for (let i = 0; i < count; i++) writePng(join(path, `${i}.png`), new Uint8Array(36).fill(i), shape);
  }
  return join(folder, name);
}

describe("what cannot be trained on is told in a line, before anything is trained", () => {
  const dest = join(folder, "none.safetensors");
  const unlabelled = makeIdx("unlabelled", 200, { labelled: false });
  const oneClass = makeIdx("one-class", 200, { classes: 1 });
  const few = makeIdx("few", 10);
  const wide = makeIdx("wide", 100, { size: 7 });
  const more = makeIdx("more", 100, { classes: 5 });
  const lonely = makeFolders("lonely", { cat: 60, dog: 60, emu: 1 });
  const sparse = join(folder, "sparse-images-idx3-ubyte");
  writeFileSync(sparse, idxBytes([100, 6, 6], new Uint8Array(3600)));
  writeFileSync(
    join(folder, "sparse-labels-idx1-ubyte"),
    idxBytes(
      [100],
      Array.from({ length: 100 }, (_, i) => 200 * (i % 2)),
    ),
  );

  test.each<[string, FeaturesRequest, RegExp]>([
    ["no labels", { data: unlabelled }, /unlabelled-images-idx3-ubyte must have class labels: /],
    ["one class", { data: oneClass }, /at least two classes, found one for all of its 200 images/],
    ["ten images", { data: few }, /at least 100 images to train a classifier on, found 10/],
    ["a class of one image", { data: lonely }, /at least two images of each class, found one of emu;/],
    [
      "numbers that are no classes",
      { data: sparse },
      /number its classes 0, 1, 2, \.\.\., found class 200 among 100 images/,
    ],
    ["test images of another size", { testData: wide }, /images of 6x6x1 like those of the training, found 7x7x1/],
    ["test images of other classes", { testData: more }, /only classes of the training, found [34]/],
    ["test images without labels", { testData: unlabelled }, /must have class labels/],
    ["no such data", { data: join(folder, "nowhere") }, /there is no data set at/],
    ["a place that is no folder", { dest: join(data, "x.safetensors") }, /cannot be made: a file of that name exists/],
  ])("%s", async (_, request, says) => {
    const error = await trainFeatures({ ...small, dest, ...request }).then(
      () => new Error("it was trained"),
      (found: Error) => found,
    );
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toMatch(says);
    expect(error.message).not.toContain("\n");
    expect(existsSync(dest)).toBe(false);
  });

  test.each<[string, FeaturesRequest, RegExp]>([
    ["no data", { data: null, dest }, /'data' must name labelled images/],
    ["no file to write", {}, /'dest' must name the classifier/],
    ["another kind of file", { dest: "x.pth" }, /'dest' must name a \*\.safetensors file/],
    ["a folder", { dest: folder }, /'dest' must name a file; .* is a folder/],
    ["the training images as a test", { dest, testData: data }, /'testData' must differ from 'data'/],
    ["a rate of zero", { dest, lr: 0 }, /'lr' in the request must be a number above 0/],
  ])("%s in the request", async (_, request, says) => {
    await expect(trainFeatures({ ...small, ...request })).rejects.toThrow(UsageError);
    await expect(trainFeatures({ ...small, ...request })).rejects.toThrow(says);
  });
});

describe("the command", () => {
  test("has every option with its line in its help", async () => {
    const { code, stdout } = await stf(["features", "train", "--help"]);
    expect(code).toBe(0);
    const text = stdout.replace(/\s+/g, " ");
    for (const [key, field] of Object.entries(featuresFields)) {
      expect(text).toContain(flagOf(key));
      expect(text).toContain(field.help);
    }
  });

  test("trains, and shows what it trained", async () => {
    const options = ["--dim=8", "--width=4", "--epochs=1", "--batch=16"];
    const trained = await stf(["features", "train", `--data=${data}`, ...options, "--dest=cli.safetensors"]);
    expect([trained.code, trained.stderr]).toEqual([0, ""]);
    expect(trained.stdout).toMatch(/^accuracy {4}\d\.\d{4} \+- \d\.\d{4} on 30 images that it was not trained on/m);
    const hash = /^sha256 {6}([0-9a-f]{64})$/m;
    const shown = await stf(["features", "show", "cli.safetensors"]);
    expect([shown.code, shown.stderr]).toEqual([0, ""]);
    expect(hash.exec(shown.stdout)?.[1]).toBe(hash.exec(trained.stdout)?.[1]);
    expect(shown.stdout).toMatch(/^title {7}classifier of the 3 classes of /m);
    expect(shown.stdout).toMatch(/^features {4}8$/m);
  });

  test("names options as flags, and files that are none of its own", async () => {
    await expectFailure(2, ["features", "train", `--data=${data}`], /^stf: --dest must name/);
    await expectFailure(
      2,
      ["features", "train", `--data=${data}`, "--dest=a.pth"],
      /--dest must name a \*\.safetensors/,
    );
    await expectFailure(1, ["features", "show", data], /is not a classifier for features|cannot be read/);
  });
});

/** Images that are never trained on: which they are, and that a run keeps to it. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { writePng } from "../src/codecs/png.js";
import { InputError, UsageError } from "../src/common/errors.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { divideImages, imagesNotIn, selectImages } from "../src/data/held-out.js";
import type { ImageBank } from "../src/data/image-bank.js";
import { withMirrorImages } from "../src/data/mirror.js";
import { jobContext } from "../src/jobs/context.js";
import { train } from "../src/jobs/train.js";
import { planTraining } from "../src/jobs/training-plan.js";
import type { StatsLine } from "../src/run/statistics.js";
import { disposeState } from "../src/training/state.js";
import { bankOf, idxBytes, listener, randomBytes } from "./support.js";

const shape = { channels: 1, height: 4, width: 4 };
const images = Array.from({ length: 200 }, (_, i) => randomBytes(16, i));
const mirrorOf = (image: Uint8Array): Uint8Array => image.map((_, p) => image[4 * Math.floor(p / 4) + 3 - (p % 4)]!);

/** The images of a bank at some places, as texts. */
function textsAt(bank: ImageBank, indices: Int32Array): string[] {
  const bytes = bank.pixels.toTypedArray();
  return Array.from(indices, (i) => String(bytes.subarray(i * bank.dimension, (i + 1) * bank.dimension)));
}

describe("a share of a bank", () => {
  const bank = bankOf(images, shape);
  const { training, heldOut } = divideImages(bank, 0.1);
  afterAll(() => bank.dispose());

  test("has that many images, and training the others", () => {
    expect(heldOut.length).toBe(20);
    expect([...training, ...heldOut].sort((a, b) => a - b)).toEqual(images.map((_, i) => i));
    for (const list of [training, heldOut]) expect([...list]).toEqual([...list].sort((a, b) => a - b));
  });

  test("depends on the content of images alone, not on their order, or on which of them are mirrored", () => {
    const wanted = new Set(textsAt(bank, heldOut));
    const reversed = bankOf(images.toReversed(), shape);
    expect(new Set(textsAt(reversed, divideImages(reversed, 0.1).heldOut))).toEqual(wanted);
    const mirrored = bankOf(
      images.map((image, i) => (i % 2 === 0 ? mirrorOf(image) : image)),
      shape,
    );
    expect(divideImages(mirrored, 0.1)).toEqual({ training, heldOut });
    for (const each of [reversed, mirrored]) each.dispose();
  });

  test("grows with the share, and keeps what a smaller one holds", () => {
    const more = new Set(divideImages(bank, 0.3).heldOut);
    expect(more.size).toBe(60);
    expect([...heldOut].every((i) => more.has(i))).toBe(true);
  });

  test("keeps identical images and mirror images together", () => {
    const twice = bankOf([...images, ...images, ...images.map(mirrorOf)], shape);
    const { heldOut: held } = divideImages(twice, 0.1);
    expect(held.length).toBeGreaterThanOrEqual(60);
    expect(held.length).toBeLessThan(63);
    const set = new Set(held);
    for (const i of held) expect([0, 200, 400].every((more) => set.has((i % 200) + more))).toBe(true);
    twice.dispose();
  });

  test("has nothing of what is trained on with mirror images", () => {
    const parts = [training, heldOut].map((indices) => selectImages(bank, indices)) as [ImageBank, ImageBank];
    const doubled = parts.map(withMirrorImages) as [ImageBank, ImageBank];
    expect(imagesNotIn(doubled[1], doubled[0]).length).toBe(40);
    expect(imagesNotIn(parts[0], doubled[0]).length).toBe(0);
    for (const each of [...parts, ...doubled]) each.dispose();
  });

  test("of almost nothing or almost everything is empty or all", () => {
    expect(divideImages(bank, 0.001).heldOut.length).toBe(0);
    expect(divideImages(bank, 0.999).training.length).toBe(0);
  });
});

const folder = mkdtempSync(join(tmpdir(), "stf-held-out-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A folder of images, of class folders if `classes` says how many. */
function folderOf(name: string, list: readonly Uint8Array[], side: number, classes = 0): string {
  const path = join(folder, name);
  list.forEach((pixels, i) => {
    const place = classes > 0 ? join(path, `class-${i % classes}`) : path;
    mkdirSync(place, { recursive: true });
    writePng(join(place, `${i}.png`), pixels, { channels: 1, height: side, width: side });
  });
  return path;
}

const listOf = (count: number, side: number, seed = 0): Uint8Array[] =>
  Array.from({ length: count }, (_, i) => randomBytes(side * side, 1000 * seed + i));

const plain = folderOf("plain", listOf(40, 8), 8);
const classes = folderOf("classes", listOf(40, 8), 8, 4);
const unseen = folderOf("unseen", listOf(10, 8, 1), 8);

const request: TrainRequest = {
  data: plain,
  outdir: folder,
  preset: "published",
  arch: "mlp",
  cbase: 8,
  numBlocks: 1,
  augment: 0,
  batch: 8,
  lrRampup: 0,
  duration: 6.4e-5,
  tick: 0.016,
  seed: 3,
};

/** What a training says, and what it plans to train on. */
async function planned(given: TrainRequest) {
  const plan = await planTraining(given, jobContext());
  const texts = [plan.bank as ImageBank, plan.heldOut].map(
    (bank) =>
      bank &&
      textsAt(
        bank,
        Int32Array.from({ length: bank.count }, (_, i) => i),
      ),
  );
  const found = {
    description: plan.description.join("\n"),
    digest: plan.digest,
    training: texts[0]!,
    heldOut: texts[1],
  };
  disposeState(plan.state);
  plan.bank.dispose();
  plan.heldOut?.dispose();
  return found;
}

describe("a training", () => {
  test("of a share of the data uses the rest, whatever the seed", async () => {
    const { training, heldOut, description } = await planned({ ...request, heldOut: 0.2 });
    expect([training.length, heldOut!.length]).toEqual([32, 8]);
    expect(training.some((text) => heldOut!.includes(text))).toBe(false);
    expect(description).toContain("data        32 images of 8x8x1");
    expect(description).toContain("held out    8 images of the data, a share of 0.2; they are not trained on");
    const other = await planned({ ...request, heldOut: 0.2, seed: 99 });
    expect(other.heldOut).toEqual(heldOut);
    expect(other.digest).not.toBe((await planned(request)).digest);
  });

  test("with mirror images uses none of a held-out image", async () => {
    const { training, heldOut } = await planned({ ...request, heldOut: 0.2, xflip: true });
    expect([training.length, heldOut!.length]).toEqual([64, 16]);
    expect(training.some((text) => heldOut!.includes(text))).toBe(false);
  });

  test("by class has the labels of both parts", async () => {
    const plan = await planTraining({ ...request, data: classes, cond: true, heldOut: 0.2 }, jobContext());
    expect(plan.state.network.labelDim).toBe(4);
    expect([plan.bank.labels!.length, plan.heldOut!.labels!.length]).toEqual([32, 8]);
    expect(plan.heldOut!.classNames).toEqual(plan.bank.classNames);
    disposeState(plan.state);
    plan.bank.dispose();
    plan.heldOut!.dispose();
  });

  test("leaves out held-out images of a path that it trains on", async () => {
    const mixed = folderOf("mixed", [...listOf(10, 8, 1), ...listOf(3, 8), mirror8(listOf(4, 8)[3]!)], 8);
    const { heldOut, description } = await planned({ ...request, heldOut: mixed });
    expect(heldOut!.length).toBe(10);
    expect(description).toContain(
      "4 of the 14 held-out images are training images, too, or mirrored, and are left out",
    );
  });

  test("of idx files takes the test images of the same folder", async () => {
    const idx = join(folder, "idx");
    mkdirSync(idx);
    const flat = (list: readonly Uint8Array[]): number[] => list.flatMap((image) => [...image]);
    writeFileSync(join(idx, "train-images-idx3-ubyte"), idxBytes([40, 8, 8], flat(listOf(40, 8))));
    writeFileSync(join(idx, "t10k-images-idx3-ubyte"), idxBytes([6, 8, 8], flat(listOf(6, 8, 2))));
    const file = join(idx, "t10k-images-idx3-ubyte");
    const data = join(idx, "train-images-idx3-ubyte");
    const byFolder = await planned({ ...request, data, heldOut: idx });
    expect(byFolder.heldOut).toEqual(listOf(6, 8, 2).map(String));
    expect(await planned({ ...request, data, heldOut: file }).then(({ heldOut }) => heldOut)).toEqual(byFolder.heldOut);
    await expect(planned({ ...request, data, heldOut: data })).rejects.toThrow(/all 40 of .* are training images/);
  });

  test.each<[string, Partial<TrainRequest>, RegExp]>([
    ["a share of 1", { heldOut: 1 }, /^'heldOut' in the request must be a path, or a share above 0 and below 1/],
    [
      "a share of no image",
      { heldOut: 0.01 },
      /^'heldOut' must hold out an image at least, found a share of 0.01 of 40/,
    ],
    ["a share of all images", { heldOut: 0.999 }, /^'heldOut' must leave images to train on, found a share of 0.999/],
    [
      "a share that empties a class",
      { data: classes, cond: true, heldOut: 0.95 },
      /^'heldOut' must leave every class an/,
    ],
    [
      "images of another size",
      { heldOut: folderOf("small", listOf(3, 4, 3), 4) },
      /of 8x8x1 like 'data', found 4x4x1$/,
    ],
    [
      "no labels",
      { data: classes, cond: true, heldOut: unseen },
      /with class labels, as 'cond' requires, and .* has none$/,
    ],
    [
      "other classes",
      { data: classes, cond: true, heldOut: folderOf("five", listOf(10, 8, 4), 8, 5) },
      /of the 4 classes of 'data' only; .* has class class-4$/,
    ],
  ])("refuses %s", async (_, given, message) => {
    const { tensors } = memory();
    const failed = planned({ ...request, ...given });
    await expect(failed).rejects.toThrow(UsageError);
    await expect(failed).rejects.toThrow(message);
    expect(memory().tensors).toBe(tensors);
  });

  test("refuses a path that does not exist", async () => {
    const failed = planned({ ...request, heldOut: join(folder, "nowhere") });
    await expect(failed).rejects.toThrow(InputError);
    await expect(failed).rejects.toThrow(
      /^the held-out images cannot be read: there is no data set at .*nowhere; 'heldOut'/,
    );
  });
});

function mirror8(image: Uint8Array): Uint8Array {
  return image.map((_, p) => image[8 * Math.floor(p / 8) + 7 - (p % 8)]!);
}

describe("a run", () => {
  const linesOf = (path: string): StatsLine[] =>
    readFileSync(join(path, "stats.jsonl"), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as StatsLine);
  /** A clock on which a tick of 200 images takes a few hundred times as long as a measurement. */
  const slow = () => {
    let seconds = 0;
    return jobContext({ now: () => seconds++, ...listener() });
  };
  const long: TrainRequest = { ...request, tick: 0.2, duration: 8e-4 };

  test.each<[string, number | string]>([
    ["a share", 0.2],
    ["a path", unseen],
  ])("with %s reports the loss on unseen images, and resumes with the same", async (name, heldOut) => {
    const { tensors } = memory();
    const run = `held-${typeof heldOut}`;
    const first = await train({ ...long, heldOut, name: run, duration: 4e-4 }, slow());
    const { lines, reporter } = listener();
    const second = await train({ resume: join(folder, run), duration: 8e-4 }, { ...slow(), reporter });
    expect(lines.join("\n")).toContain(
      name === "a share" ? "held out    8 images of the data" : "held out    10 images",
    );
    expect([first.images, second.images]).toEqual([400, 800]);
    const options = JSON.parse(readFileSync(join(folder, run, "training_options.json"), "utf8")) as {
      heldOut: unknown;
    };
    expect(options.heldOut).toBe(heldOut);
    const measured = linesOf(join(folder, run)).filter((line) => line["Loss/held_out"]);
    expect(measured.length).toBeGreaterThanOrEqual(3);
    for (const line of measured) {
      const { "Loss/held_out": unseenLoss, "Loss/seen": seen, "Loss/gap": gap } = line;
      expect(gap!.mean).toBeCloseTo(unseenLoss!.mean - seen!.mean, 10);
    }
    const whole = await train({ ...long, heldOut, name: `${run}-whole` }, slow());
    expect(weights(second.snapshot!)).toEqual(weights(whole.snapshot!));
    expect(memory().tensors).toBe(tensors);
  });

  test("may get another path when it is resumed, but not another share", async () => {
    const resumed = { resume: join(folder, "held-string"), duration: 8.16e-4 };
    await expect(train({ ...resumed, heldOut: 0.5 })).rejects.toThrow(
      /^'heldOut' decides which images are trained on if it is a share, and cannot change with 'resume': it was .*unseen, found 0.5$/,
    );
    await expect(train({ ...resumed, resume: join(folder, "held-number"), heldOut: unseen })).rejects.toThrow(
      /it was 0.2/,
    );
    const { images: after } = await train({ ...resumed, heldOut: folderOf("more", listOf(5, 8, 6), 8) });
    expect(after).toBe(816);
  });

  test("is the same to the last bit with and without a path of held-out images", async () => {
    const [without, beside] = await Promise.all(
      [null, unseen].map((heldOut) => train({ ...long, heldOut, name: `bits-${heldOut !== null}` }, slow())),
    );
    expect(weights(beside!.snapshot!)).toEqual(weights(without!.snapshot!));
  });
});

/** The weights of a snapshot. */
function weights(path: string): Buffer {
  const bytes = readFileSync(path);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
}

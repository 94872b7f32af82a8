/** Jobs as a program runs them: typed requests in, typed results out, and everything outside of them handed in. */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors, memory, saveSafetensors } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { writePng } from "../src/codecs/png.js";
import { InputError, UsageError } from "../src/common/errors.js";
import type { GenerateRequest } from "../src/config/generate-request.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { digestOfImages } from "../src/data/image-digest.js";
import { openDataset } from "../src/data/open.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { estimateTraining } from "../src/jobs/estimate.js";
import { generate } from "../src/jobs/generate.js";
import { likelihood } from "../src/jobs/likelihood.js";
import { train } from "../src/jobs/train.js";
import { planTraining } from "../src/jobs/training-plan.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { drawnClasses } from "../src/sampling/noise.js";
import { disposeState } from "../src/training/state.js";
import { listener } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-jobs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = { channels: 1, height: 8, width: 8 };

/** A folder of images; `change` may move one pixel of the third. */
function makeImages(name: string, count = 24, change = 0): string {
  const path = join(folder, name);
  mkdirSync(path);
  for (let i = 0; i < count; i++) {
    const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3) + (i === 2 && p === 9 ? change : 0)) % 256);
    writePng(join(path, `${String(i).padStart(2, "0")}.png`), pixels, shape);
  }
  return path;
}

const data = makeImages("images");
const small: TrainRequest = {
  data,
  outdir: join(folder, "runs"),
  stf: true,
  rbatch: 8,
  cbase: 4,
  cres: [1],
  numBlocks: 1,
  attn: [0],
  augment: 0,
  batch: 8,
  lrRampup: 0,
  duration: 4e-5,
  tick: 0.016,
  seed: 3,
};

describe("a program trains, draws and asks", () => {
  test("and is told where everything is", async () => {
    const { tensors } = memory();
    const { lines, reporter } = listener();
    const trained = await train({ ...small, name: "first" }, jobContext({ reporter }));
    expect(trained).toMatchObject({ reason: "finished", folder: join(folder, "runs", "first"), images: 40 });
    expect(trained.progress?.loss).toBeGreaterThan(0);
    for (const path of [trained.snapshot, trained.state, trained.samples]) expect(existsSync(path!)).toBe(true);
    expect(lines.some((line) => line.includes("24 images of 8x8x1"))).toBe(true);
    expect(readFileSync(join(trained.folder, "log.txt"), "utf8")).toBe(`${lines.join("\n")}\n`);

    const grid = join(folder, "grid.png");
    const drawn = await generate({ network: trained.snapshot!, seeds: [1, 2, 3], steps: 3, grid });
    expect(drawn).toMatchObject({ reason: "finished", drawn: 3, evaluations: 5 });
    expect(existsSync(grid)).toBe(true);

    const asked = await likelihood({ network: trained.snapshot!, data, num: 2, rtol: 1e-2, atol: 1e-2, probes: 2 });
    expect(asked).toMatchObject({
      reason: "finished",
      asked: 2,
      protocol: { method: { images: { count: 2 }, estimate: { probes: 2, seed: 0 } } },
    });
    expect(asked.bitsPerDimension).toBeCloseTo((asked.perImage[0]! + asked.perImage[1]!) / 2, 12);
    expect(Object.keys(asked.errors)).toEqual(["images", "probes"]);
    expect(memory().tensors).toBe(tensors);
  });

  test("a clock and a stop that are handed in decide", async () => {
    let asked = 0;
    const stopped = await train({ ...small, name: "stopped" }, jobContext({ shouldStop: () => ++asked > 8 }));
    expect(stopped).toMatchObject({ reason: "stopped", images: 24 });
    expect(stopped.samples).toBeUndefined();
    let seconds = 0;
    const timed = await train({ ...small, name: "timed", timeLimit: 1 }, jobContext({ now: () => 10 * seconds++ }));
    expect(timed.reason).toBe("time limit");
    expect(timed.images).toBeLessThan(40);
    const never = await generate(
      { network: stopped.snapshot!, seeds: [1], steps: 3, grid: join(folder, "never.png") },
      jobContext({ shouldStop: () => true }),
    );
    expect(never).toMatchObject({ reason: "stopped", drawn: 0 });
    expect(existsSync(join(folder, "never.png"))).toBe(false);
  });

  test("a long step shows how far it is, and parts of a batch change nothing", async () => {
    const shown: string[] = [];
    const reporter = { ...listener().reporter, update: (line: string) => void shown.push(line) };
    await train({ ...small, name: "parts", batchGpu: 3, duration: 1.6e-5 }, jobContext({ reporter }));
    const parts = shown.filter((line) => line.includes("of the next"));
    expect(parts).toEqual([
      "first step: 3 of the next 8 images",
      "first step: 6 of the next 8 images",
      expect.stringMatching(/ kimg .* left: 3 of the next 8 images$/),
      expect.stringMatching(/ kimg .* left: 6 of the next 8 images$/),
    ]);
  });

  test("work that is not shared is refused to one of several processes", async () => {
    const context = jobContext({ rank: { rank: 1, size: 2, local: 1 } });
    await expect(train(small, context)).rejects.toThrow(/train cannot divide its work.*one of 2 processes/);
    const asked = likelihood({ network: "x.safetensors", data }, context);
    await expect(asked).rejects.toThrow(/likelihood cannot divide its work/);
  });

  test("more random numbers than fit in memory are refused before they are drawn", async () => {
    const network = join(folder, "runs", "first", "network-snapshot-000000040.safetensors");
    const { tensors } = memory();
    for (const more of [{ probes: 1e9 }, { repeats: 1e9, probes: 2 }]) {
      await expect(likelihood({ network, data, ...more })).rejects.toThrow(
        /not enough memory: the random numbers of a batch take [\d.]+ GiB; lower 'batch' \(it is 64\) or 'probes' \(/,
      );
    }
    expect(memory().tensors).toBe(tensors);
  });

  test("a network too large for the memory names what to lower", async () => {
    const { tensors } = memory();
    const huge = train({ ...small, cbase: 400_000, batchGpu: 2 });
    await expect(huge).rejects.toThrow(InputError);
    await expect(train({ ...small, cbase: 400_000, batchGpu: 2 })).rejects.toThrow(
      /not enough memory for another [\d.]+ [GT]iB: lower 'batchGpu' \(it is 2;.*'cbase'.*'rbatch' \(it is 8\).*'recompute=1'/,
    );
    expect(memory().tensors).toBe(tensors);
  });

  test.each<[TrainRequest, RegExp]>([
    [{ ...small, batch: "8" as unknown as number }, /'batch' in the request must be a whole number.*"8"/],
    [{ ...small, batchSize: 8 } as TrainRequest, /found 'batchSize'/],
    [{ ...small, resume: "runs", preset: "fashion-mnist" }, /'resume' and 'preset'/],
    [{ ...small, batch: 25 }, /'batch' must be at most the 24 images/],
    [{ stf: true }, /'data' must name/],
    [{ ...small, desc: "/../../evil" }, /'desc' in the request must be a name without slashes.*evil/],
  ])("a mistake names the field: %#", async (request, says) => {
    const { tensors } = memory();
    await expect(train(request)).rejects.toThrow(UsageError);
    await expect(train(request)).rejects.toThrow(says);
    expect(memory().tensors).toBe(tensors);
  });
});

/** A folder with a folder of images for each class. */
function makeClasses(name: string, classes: readonly string[], count = 6): string {
  const root = join(folder, name);
  classes.forEach((label, c) => {
    mkdirSync(join(root, label), { recursive: true });
    for (let i = 0; i < count; i++) {
      const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3) + 40 * c) % 256);
      writePng(join(root, label, `${i}.png`), pixels, shape);
    }
  });
  return root;
}

describe("classes have names", () => {
  const request: TrainRequest = { ...small, cond: true, rbatch: 4, duration: 1.6e-5 };

  test("which a run prints and keeps, a network knows, and images and likelihoods are asked by", async () => {
    const { lines, reporter } = listener();
    const photos = makeClasses("named", ["9 lives", "10 cats", "\u00e9"]);
    const trained = await train({ ...request, data: photos, name: "named" }, jobContext({ reporter }));
    expect(lines).toContain("classes     0: 9 lives, 1: 10 cats, 2: \u00e9");
    expect(lines.join("\n")).toContain("a row per class (9 lives, 10 cats, \u00e9), in");
    const stored = JSON.parse(readFileSync(join(trained.folder, "training_options.json"), "utf8"));
    expect(stored.classNames).toEqual(["9 lives", "10 cats", "\u00e9"]);
    const { about } = loadSnapshot(trained.snapshot!);
    expect(about["classNames"]).toEqual(["9 lives", "10 cats", "\u00e9"]);

    const draw = async (name: string, more: GenerateRequest): Promise<{ said: string[]; bytes: Buffer }> => {
      const heard = listener();
      const grid = join(folder, `${name}.png`);
      await generate({ network: trained.snapshot!, seeds: [1, 2], steps: 2, grid, ...more }, jobContext(heard));
      return { said: heard.lines, bytes: readFileSync(grid) };
    };
    const byNumber = await draw("by-number", { class: 2 });
    for (const label of ["\u00e9", "e\u0301", "2"]) {
      const byName = await draw("by-name", { class: label });
      expect(byName.said[0]).toMatch(/, class \u00e9 \(number 2\)$/);
      expect(byName.bytes).toEqual(byNumber.bytes);
    }
    const outdir = join(folder, "by-either");
    await generate({ network: trained.snapshot!, seeds: [1], steps: 2, outdir, class: 1 });
    await generate({ network: trained.snapshot!, seeds: [1], steps: 2, outdir, class: "10 cats" });
    const { said } = await draw("any", { seeds: [0, 1, 2, 3] });
    const drawn = drawnClasses([0, 1, 2, 3], shape, 3, "cpu").map(
      (label) => ['"9 lives"', '"10 cats"', "\u00e9"][label],
    );
    expect(said.at(-1)).toBe(`classes in the grid, row by row: ${drawn[0]} ${drawn[1]}, ${drawn[2]} ${drawn[3]}`);
    const ask = (label: string | number): Promise<unknown> => draw("never", { class: label });
    await expect(ask("dog")).rejects.toThrow(
      /'class' must be one of 9 lives, 10 cats, \u00e9, or from 0 to 2, found dog/,
    );
    await expect(ask(3)).rejects.toThrow(/from 0 to 2, found 3/);

    const likely = { network: trained.snapshot!, rtol: 1e-1, atol: 1e-1 };
    // The second class of the network is the first of the data. It is the same picture, the first of its data, in both.
    const second = makeClasses("second", ["10 cats", "\u00e9"], 1);
    const labelled = join(folder, "told");
    mkdirSync(labelled);
    copyFileSync(join(second, "10 cats", "0.png"), join(labelled, "0.png"));
    writeFileSync(join(labelled, "dataset.json"), JSON.stringify({ labels: [["0.png", 1]] }));
    const asked = await Promise.all([second, labelled].map((data) => likelihood({ ...likely, data, num: 1 })));
    expect(asked[0]?.perImage).toEqual(asked[1]?.perImage);
    const strange = makeClasses("strange", ["cow", "10 cats"], 1);
    await expect(likelihood({ ...likely, data: strange })).rejects.toThrow(/only the network's classes.*found cow/);
  });

  test("a name of digits is meant before a number is", async () => {
    const { snapshot } = await train({ ...request, data: makeClasses("digits", ["1", "2", "3"]), name: "digits" });
    const grid = join(folder, "digits.png");
    const said = async (label: string | number): Promise<string | undefined> => {
      const { lines, reporter } = listener();
      await generate({ network: snapshot!, seeds: [1], steps: 2, grid, class: label }, jobContext({ reporter }));
      return lines[0];
    };
    expect(await said("1")).toMatch(/class 1 \(number 0\)$/);
    expect(await said(1)).toMatch(/class 2 \(number 1\)$/);
    expect(await said("0")).toMatch(/class 1 \(number 0\)$/);
  });

  test("and a run goes on with those that it was started with", async () => {
    const photos = makeClasses("kept", ["cat", "dog"]);
    const { state } = await train({ ...request, data: photos, name: "kept" });
    const resume = (data: string): Promise<unknown> => train({ resume: state!, data, duration: 3e-5 });
    const started = /2 classes that the run was started with \(cat, dog\); /.source;
    await expect(resume(makeClasses("renamed-class", ["dog", "zebra"]))).rejects.toThrow(
      new RegExp(`${started}it lacks cat and it also has zebra`),
    );
    await expect(resume(makeClasses("more", ["ant", "cat", "dog"], 4))).rejects.toThrow(
      new RegExp(`${started}it also has ant`),
    );
    await expect(resume(makeClasses("swapped", ["dog", "cat"]))).rejects.toThrow(
      /differ in a pixel, a label or their order/,
    );
    await expect(resume(makeImages("no-classes", 12))).rejects.toThrow(
      /2 classes.*found 0: its images are not in folders/,
    );
    expect(await resume(makeClasses("same", ["cat", "dog"]))).toMatchObject({ images: 32 });
  });

  test("a run of an earlier version, which kept no names, keeps its numbers, in the order of the text", async () => {
    const photos = makeClasses("eleven", ["1", "2", "10", "11"]);
    const byText = await openDataset(photos, { numbering: "text" });
    const { state } = await train({ ...request, data: photos, name: "eleven" });
    const earlier = changed(state!, ({ classNames: _, ...options }) => ({
      ...options,
      imagesDigest: digestOfImages(byText),
    }));
    const plan = await planTraining({ resume: earlier, duration: 5e-5 }, jobContext());
    expect(plan.bank.classNames).toEqual(["1", "10", "11", "2"]);
    disposeState(plan.state);
    plan.bank.dispose();
    byText.dispose();
  });
});

test("images of another kind are refused in one line", async () => {
  const { state } = await train({ ...small, name: "grey" });
  const write = (name: string, size: number, channels: number, count: number): string => {
    const path = join(folder, name);
    mkdirSync(path);
    for (let i = 0; i < count; i++) {
      const pixels = Uint8Array.from({ length: channels * size ** 2 }, (_, p) => (p * (i + 3)) % 256);
      writePng(join(path, `${i}.png`), pixels, { channels, height: size, width: size });
    }
    return path;
  };
  const resume = (data: string): Promise<unknown> => train({ resume: state!, data, duration: 5e-5 });
  await expect(resume(write("coloured", 8, 3, 24))).rejects.toThrow(/images of 8x8x1 .* found 8x8x3/);
  await expect(resume(write("large", 16, 1, 24))).rejects.toThrow(/images of 8x8x1 .* found 16x16x1/);
  // Fewer than a batch: the data are wrong, not the batch.
  await expect(resume(write("few", 8, 1, 3))).rejects.toThrow(/24 images .* found 3/);
  const wide = join(folder, "wide");
  mkdirSync(wide);
  for (let i = 0; i < 8; i++)
    writePng(join(wide, `${i}.png`), new Uint8Array(128), { channels: 1, height: 8, width: 16 });
  await expect(train({ ...small, data: wide })).rejects.toThrow(
    /must hold square images.*found 16x8; make squares of them: npx stf dataset convert/,
  );
});

test("a single class is said to teach nothing, as other files beside the images are said to be there", async () => {
  const path = makeImages("single", 8);
  const labels = Array.from({ length: 8 }, (_, i) => [`0${i}.png`, 0]);
  writeFileSync(join(path, "dataset.json"), JSON.stringify({ labels }));
  writeFileSync(join(path, "notes.txt"), "text");
  const plan = await planTraining({ ...small, data: path, cond: true, rbatch: 4 }, jobContext());
  expect(plan.description.filter((line) => line.startsWith("note"))).toEqual([
    "note        1 file that is not an image was skipped: notes.txt",
    "note        'cond' has no effect: all 8 images have the same class, number 0",
  ]);
  disposeState(plan.state);
  plan.bank.dispose();
});

/** A state with other metadata. */
function changed(path: string, change: (options: Record<string, unknown>) => Record<string, unknown>): string {
  const { tensors, metadata } = loadSafetensors(path);
  const options = change(JSON.parse(metadata["options"]!) as Record<string, unknown>);
  const copy = join(folder, `changed-${Math.random()}.safetensors`);
  saveSafetensors(copy, tensors, { ...metadata, options: JSON.stringify(options) });
  for (const tensor of tensors.values()) tensor.dispose();
  return copy;
}

describe("what is chosen for a request", () => {
  const request: TrainRequest = { data, outdir: join(folder, "runs"), seed: 3, timeLimit: 1 };

  /** A clock by which every step takes so many seconds. */
  function clock(seconds: number): () => number {
    let time = 0;
    return () => {
      time += seconds;
      return time;
    };
  }

  test("depends on the clock, leaves nothing behind, and is the same by the same clock", async () => {
    const { tensors } = memory();
    const planned = async (seconds: number) => {
      const { options, description, state, bank } = await planTraining(request, jobContext({ now: clock(seconds) }));
      disposeState(state);
      bank.dispose();
      return { options, first: description.slice(0, 3).join("\n") };
    };
    // 24 images in a step: 24 images per second, and 24,000.
    const slow = await planned(1);
    expect(slow.options).toMatchObject({ cbase: 16, batch: 8, rbatch: 24, stf: true, timeLimit: 1, duration: 200 });
    expect(slow.first).toMatch(/24 images of 8x8x1 in 1m 00s[\s\S]*24 images\/s here[\s\S]*about 1,400 images/);
    expect((await planned(1)).options).toEqual(slow.options);
    // The data set is too small for a larger one still.
    expect((await planned(0.001)).options).toMatchObject({ cbase: 32, numBlocks: 1, attn: [8] });
    expect(memory().tensors).toBe(tensors);
  });

  test("is nothing where the job is stopped before", async () => {
    const { tensors } = memory();
    const stopped = train({ ...request, name: "never" }, jobContext({ shouldStop: () => true }));
    await expect(stopped).rejects.toThrow(Stopped);
    expect(existsSync(join(folder, "runs", "never"))).toBe(false);
    expect(memory().tensors).toBe(tensors);
  });

  test("can be estimated: time by the clock, memory by counting", async () => {
    const context = jobContext({ now: clock(2) });
    const plan = await planTraining({ ...small, duration: 0.00012, timeLimit: 0.5 }, context);
    const { imagesPerSecond, images, seconds, memory: bytes } = estimateTraining(plan, context);
    expect([imagesPerSecond, images, seconds]).toEqual([4, 120, 30]);
    // The flat storage has gaps.
    expect(bytes.state).toBeGreaterThanOrEqual(20 * plan.state.network.parameterCount);
    expect(bytes.images).toBe(24 * 64);
    expect(bytes.peak).toBeGreaterThan(bytes.state + bytes.images + bytes.activations);
    disposeState(plan.state);
    plan.bank.dispose();
  });
});

describe("a folder of a class-conditional network has labels", () => {
  const CLASSES = 5;
  const network = join(folder, "classes.safetensors");
  const config: NetworkConfig = {
    arch: "ddpmpp",
    precond: "edm",
    shape,
    modelChannels: 4,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
    labelDim: CLASSES,
  };
  const denoiser = buildDenoiser(config);
  saveNetwork(network, denoiser, config, {});
  denoiser.dispose();

  const range = (first: number, last: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, i) => first + i);
  const nameOf = (seed: number): string => `${String(seed).padStart(6, "0")}.png`;
  const entries = (seeds: number[], name = nameOf): unknown => ({
    labels: drawnClasses(seeds, shape, CLASSES).map((label, i) => [name(seeds[i]!), label]),
  });
  const labelsIn = (outdir: string): unknown => JSON.parse(readFileSync(join(outdir, "dataset.json"), "utf8"));
  const request = { network, steps: 2, batch: 2 };

  test("which training takes up", async () => {
    const outdir = join(folder, "labelled");
    await generate({ ...request, outdir, seeds: range(0, 15) });
    const bank = await openDataset(outdir);
    expect(Array.from(bank.labels!)).toEqual(drawnClasses(range(0, 15), shape, CLASSES));
    bank.dispose();
    const trained = await train({ ...small, data: outdir, cond: true, stf: false, name: "of-drawn" });
    expect(trained.reason).toBe("finished");
    const snapshot = loadSnapshot(trained.snapshot!, {});
    expect(snapshot.denoiser.labelDim).toBe(CLASSES);
    snapshot.denoiser.dispose();
  });

  test("of more seeds, of fewer, and of images that were there without", async () => {
    const outdir = join(folder, "extended");
    await generate({ ...request, outdir, seeds: range(3, 6) });
    expect(labelsIn(outdir)).toEqual(entries(range(3, 6)));
    await generate({ ...request, outdir, seeds: [12, 1] });
    expect(labelsIn(outdir)).toEqual(entries([1, 3, 4, 5, 6, 12]));
    rmSync(join(outdir, nameOf(4)));
    rmSync(join(outdir, "dataset.json"));
    expect(await generate({ ...request, outdir, seeds: [5] })).toMatchObject({ drawn: 0 });
    expect(labelsIn(outdir)).toEqual(entries([1, 3, 5, 6, 12]));
    expect(readdirSync(outdir).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("below sub-folders, which are no classes", async () => {
    const outdir = join(folder, "deep");
    const seeds = [7, 1001, 2002];
    await generate({ ...request, outdir, seeds, subdirs: true });
    await generate({ ...request, outdir, seeds: [1000007], subdirs: true });
    const name = (seed: number): string => `${String(seed - (seed % 1000)).padStart(6, "0")}/${nameOf(seed)}`;
    expect(labelsIn(outdir)).toEqual(entries([...seeds, 1000007], name));
    const bank = await openDataset(outdir);
    expect(Array.from(bank.labels!)).toEqual(drawnClasses([...seeds, 1000007], shape, CLASSES));
    bank.dispose();
  });

  test("that are those asked for, and none without classes", async () => {
    const outdir = join(folder, "threes");
    await generate({ ...request, outdir, seeds: [0, 1], class: 3 });
    expect(labelsIn(outdir)).toEqual({ labels: [0, 1].map((seed) => [nameOf(seed), 3]) });
    const plain = { ...config, labelDim: 0 };
    const other = buildDenoiser(plain);
    saveNetwork(join(folder, "plain.safetensors"), other, plain, {});
    other.dispose();
    const unlabelled = join(folder, "unlabelled");
    await generate({ ...request, network: join(folder, "plain.safetensors"), outdir: unlabelled, seeds: [0] });
    expect(readdirSync(unlabelled).sort()).toEqual([nameOf(0), "generate_options.json"]);
  });

  test("of all images at any time, also where it is interrupted or several processes draw it", async () => {
    const outdir = join(folder, "shared");
    const asked = { ...request, outdir, seeds: range(0, 7) };
    await generate({ ...asked, seeds: [0, 1] });
    // Time enough for the labels, not for all images.
    let calls = 0;
    const stopped = await generate(asked, jobContext({ shouldStop: () => ++calls > 12 }));
    expect(stopped).toMatchObject({ reason: "stopped", drawn: 4 });
    expect(labelsIn(outdir)).toEqual(entries(range(0, 7)));
    (await openDataset(outdir)).dispose();
    const more = { ...asked, seeds: range(4, 19) };
    await Promise.all([0, 1, 2].map((rank) => generate(more, jobContext({ rank: { rank, size: 3, local: rank } }))));
    expect(labelsIn(outdir)).toEqual(entries(range(0, 19)));
    const bank = await openDataset(outdir);
    expect([bank.count, bank.labels?.length]).toEqual([20, 20]);
    bank.dispose();
  });
});

describe("a resumed run trusts nothing unread", () => {
  const state = async (name: string): Promise<string> => (await train({ ...small, name })).state!;

  test("its options are checked as those of a request, its images by their digest", async () => {
    const path = await state("trusting");
    const resume = (file: string, more: TrainRequest = {}): Promise<unknown> =>
      train({ resume: file, duration: 5e-5, ...more });
    const wrong = changed(path, (options) => ({ ...options, batch: "8" }));
    await expect(resume(wrong)).rejects.toThrow(/'batch' in .*changed.* must be a whole number.*"8"/);
    const unknown = changed(path, (options) => ({ ...options, batchSize: 8 }));
    await expect(resume(unknown)).rejects.toThrow(/found 'batchSize'/);
    await expect(resume(path, { cbase: 8 })).rejects.toThrow(
      /'cbase' is fixed for the run and cannot change with 'resume'/,
    );
    await expect(resume(path, { data: makeImages("pixel", 24, 1) })).rejects.toThrow(
      /exactly the images.*differ in a pixel/,
    );
    await expect(resume(path, { data: makeImages("fewer", 23) })).rejects.toThrow(/24 images.*found 23/);
    await expect(resume(join(folder, "nowhere"))).rejects.toThrow(InputError);
    // The same images under another name are the same images.
    expect(await resume(path, { data: makeImages("renamed") })).toMatchObject({ reason: "finished", images: 56 });
  });

  test("the network that it was built with counts, not the options", async () => {
    const path = await state("network");
    const other = changed(path, (options) => ({ ...options, cbase: 16 }));
    const plan = await planTraining({ resume: other, duration: 5e-5 }, jobContext());
    expect(plan.network.modelChannels).toBe(4);
    expect(plan.state.images).toBe(40);
    disposeState(plan.state);
    plan.bank.dispose();
  });

  test("a state of an earlier version, which knows no digest, goes on", async () => {
    const path = await state("earlier");
    const earlier = changed(path, ({ imagesDigest: _, ...options }) => options);
    const plan = await planTraining({ resume: earlier, duration: 5e-5 }, jobContext());
    expect(plan.state.images).toBe(40);
    disposeState(plan.state);
    plan.bank.dispose();
  });
});

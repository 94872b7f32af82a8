/** What `preset=auto` chooses: for data and times whose right answer is known, and where what is given wins. */

import { describe, expect, test } from "vitest";
import { type AutomaticFacts, automaticOptions, networkCandidates, nextToMeasure } from "../src/config/automatic.js";
import { presets, type TrainOptions, trainFields } from "../src/config/train-options.js";
import { activationsPerImage } from "../src/networks/activations.js";
import { defaultSizes } from "../src/networks/architectures.js";

const facts = (images: number, size: number, channels = 3, memory = 4 * 2 ** 30): AutomaticFacts => ({
  images,
  shape: { channels, height: size, width: size },
  memory,
});

/** Measures as the job does, with given speeds, and chooses. */
function chosen(given: Partial<TrainOptions>, about: AutomaticFacts, speeds: readonly number[] = []) {
  const measured: number[] = [];
  for (let next = nextToMeasure(given, about, measured); next !== undefined; ) {
    measured.push(speeds[next]!);
    next = nextToMeasure(given, about, measured);
  }
  return { measured, ...automaticOptions(given, about, measured) };
}

/** Images per second on two cores. */
const twoCores = { grey28: [500, 230, 140], colour32: [420, 190, 130, 40] };

describe("known answers", () => {
  test("Fashion-MNIST in five minutes on two cores is the preset fashion-mnist", () => {
    const { options, measured, reasons } = chosen({ timeLimit: 5 }, facts(60_000, 28, 1), twoCores.grey28);
    const preset = presets["fashion-mnist"].options;
    const { data, duration, timeLimit, seed, stf, ...wanted } = preset;
    expect(options).toEqual({ ...wanted, batchGpu: null });
    // The third has too few images in that time, so a larger one is not tried.
    expect(measured).toEqual([500, 230]);
    expect(reasons.join("\n")).toMatch(
      /60,000 images of 28x28x1 in 5m 00s[\s\S]*230 images\/s[\s\S]*about 69,000 images/,
    );
  });

  test("CIFAR-10 in an hour on two cores: a U-Net of two blocks with attention at 16", () => {
    const { options, expected } = chosen({ timeLimit: 60 }, facts(50_000, 32), twoCores.colour32);
    expect(expected).toBe(468_000);
    expect(options).toMatchObject({ cbase: 32, cres: [1, 2, 2], numBlocks: 2, attn: [16], batch: 64, lr: 1e-3 });
    expect(options).toMatchObject({ lrRampup: 0.02, ema: 0.07, augment: 0, dropout: 0, rbatch: 1024 });
  });

  test("the published duration on CIFAR-10 is the published run, and nothing is measured", () => {
    const { options, measured } = chosen({ duration: 200 }, facts(50_000, 32));
    expect(measured).toEqual([]);
    const { modelChannels: cbase, channelMult: cres, numBlocks, attnResolutions: attn } = defaultSizes.ddpmpp;
    expect(options).toMatchObject({ cbase, cres, numBlocks, attn, batch: 512, augment: 0.12, dropout: 0.13, ema: 0.5 });
    expect(options.lr).toBe(trainFields.lr.default);
    expect(options.lrRampup).toBeCloseTo(7);
  });
});

test("images that processes divide get no Gaussians, to which one would need all of them", () => {
  const of = (given: Partial<TrainOptions>) => chosen({ duration: 1, ...given }, facts(60_000, 28, 1)).options.analytic;
  expect(of({ stfShard: true, rbatch: "all" })).toBe(0);
  for (const other of [
    { stfShard: true },
    { rbatch: "all" as const },
    { stfShard: true, rbatch: "all" as const, stf: false },
  ]) {
    expect(of(other)).toBeGreaterThan(0);
  }
});

test("power-function averages are stored often enough, and no more often than snapshots in a long run", () => {
  const short = chosen({ timeLimit: 5, average: "power" }, facts(60_000, 28, 1), twoCores.grey28);
  expect(short.options).toMatchObject({ tick: 2, snap: 5 });
  expect(short.reasons.join("\n")).toContain("two averages, stored every 5 ticks");
  const coarse = chosen({ timeLimit: 5, average: "power", tick: 10 }, facts(60_000, 28, 1), twoCores.grey28);
  expect(coarse.options.snap).toBe(1);
  const long = chosen({ duration: 200, average: "power" }, facts(50_000, 32));
  expect(long.options.snap).toBe(trainFields.snap.default);
});

describe("small data sets", () => {
  test.each([
    [1, 1],
    [3, 2],
    [12, 8],
    [40, 32],
    [500, 32],
  ])("%d images: batches of %d, all images as references, augmentation", (images, batch) => {
    const { options } = chosen({ duration: 0.1 }, facts(images, 64));
    expect(options).toMatchObject({ batch, rbatch: images, augment: 0.12 });
  });

  test("few images do not get a large network, however long the training", () => {
    const { options } = chosen({ duration: 200 }, facts(40, 64));
    expect(options).toMatchObject({ cbase: 32, cres: [1, 1, 2, 2], numBlocks: 1, attn: [8] });
  });

  test("without time and images: an hour, or 5000 passes", () => {
    const { options, reasons } = chosen({}, facts(40, 64), [90, 40]);
    expect(options).toMatchObject({ timeLimit: 60, duration: 0.2 });
    expect(reasons[0]).toContain("in 1h 00m 00s (the default 'timeLimit')");
    expect(chosen({}, facts(1e6, 64), [90, 40]).options).toMatchObject({ timeLimit: 60, duration: 200 });
    const timed = chosen({ timeLimit: 2 }, facts(40, 64), [90, 40]);
    expect(timed.options.duration).toBeUndefined();
    expect(timed.options.timeLimit).toBeUndefined();
  });
});

describe("what is given wins", () => {
  test("and the rest goes by it", () => {
    const given = { timeLimit: 5, cbase: 48, batch: 8, augment: 0.5, stf: false };
    const { options, measured } = chosen(given, facts(60_000, 28, 1), [200, 150, 100]);
    for (const key of Object.keys(given)) expect(options).not.toHaveProperty(key);
    expect(options).not.toHaveProperty("rbatch");
    expect(options).toMatchObject({ cres: [1, 1, 2], numBlocks: 1, lr: 3e-4 });
    // The two narrow ones are one, and so are the two with two wide blocks.
    expect(networkCandidates(given, facts(60_000, 28).shape).map(({ size }) => size.cbase)).toEqual([48, 48, 48, 48]);
    expect(measured).toEqual([200]);
  });

  test("a whole network leaves one candidate, whose speed still says how many images there will be", () => {
    const given = { cbase: 16, cres: [1, 2], numBlocks: 1, attn: [0], timeLimit: 10 };
    const { measured, expected } = chosen(given, facts(1000, 32), [50, 60]);
    expect(measured).toEqual([50]);
    expect(expected).toBe(30_000);
  });

  test("time and images together: whichever ends first", () => {
    expect(chosen({ timeLimit: 60, duration: 0.01 }, facts(1000, 32), [50, 40]).expected).toBe(10_000);
    expect(chosen({ timeLimit: 1, duration: 0.01 }, facts(1000, 32), [50, 40]).expected).toBe(3000);
  });

  test("transferred weights bring their network", () => {
    const { options } = chosen({ transfer: "x.pkl", timeLimit: 1 }, facts(1000, 32), [50]);
    expect(options).toMatchObject({ cbase: null, cres: null, numBlocks: null, attn: null });
  });
});

test.each([
  [8, [1], [8]],
  [12, [1, 2], [6]],
  [20, [1, 1, 2], [5]],
  [27, [1], [0]],
  [28, [1, 1, 2], [7]],
  [64, [1, 1, 2, 2], [8]],
  [128, [1, 1, 2, 2, 4], [8]],
  [256, [1, 1, 2, 2, 4, 4], [8]],
])("images of %d pixels have resolutions that they can be halved to", (size, cres, attn) => {
  for (const arch of ["ddpmpp", "ncsnpp", "adm"] as const) {
    const [smallest, ...larger] = networkCandidates({ arch }, facts(1000, size).shape);
    expect(smallest?.size).toMatchObject({ cres, attn });
    for (const { size: next } of larger) {
      expect(size % 2 ** (next.cres!.length - 1)).toBe(0);
      expect(
        next.attn!.every(
          (resolution) => resolution === 0 || next.cres!.some((_, level) => size >> level === resolution),
        ),
      ).toBe(true);
    }
  }
});

test("an mlp has a width and layers only", () => {
  const sizes = networkCandidates({ arch: "mlp" }, facts(1000, 8).shape).map(({ size }) => size);
  expect(sizes).toEqual([
    { cbase: 128, cres: null, numBlocks: 3, attn: null },
    { cbase: 512, cres: null, numBlocks: 3, attn: null },
  ]);
});

test("little memory means fewer images at once, a small speed a word of warning", () => {
  const about = facts(10_000, 256, 3, 2 ** 30);
  const { options, reasons } = chosen({ timeLimit: 10 }, about, [3, 1]);
  const { modelChannels, channelMult, numBlocks, attnResolutions } = {
    modelChannels: options.cbase!,
    channelMult: options.cres!,
    numBlocks: options.numBlocks!,
    attnResolutions: options.attn!,
  };
  const config = {
    arch: "ddpmpp",
    shape: about.shape,
    modelChannels,
    channelMult,
    numBlocks,
    attnResolutions,
  } as const;
  const bytes = 4 * activationsPerImage(config);
  const atOnce = options.batchGpu ?? options.batch!;
  expect(atOnce * bytes).toBeLessThanOrEqual(2 ** 30);
  expect(2 * atOnce > options.batch! || 2 * atOnce * bytes > 2 ** 30).toBe(true);
  expect(reasons.at(-1)).toMatch(/that is short: try 'timeLimit=120' or smaller images/);
});

/** MiB by which the peak of a process rose with every image in a step of denoising score matching, in float32. */
test.each([
  ["28x28x1, 0.9 million parameters", 28, 1, 32, [1, 1, 2], 1, [7], 5.7],
  ["32x32x3, 1.8 million", 32, 3, 32, [1, 2, 2], 2, [16], 12.4],
  ["64x64x3, 2.5 million", 64, 3, 32, [1, 2, 2, 2], 2, [16], 45.6],
  ["32x32x3, 56 million", 32, 3, 128, [2, 2, 2], 4, [16], 106],
])("activations of %s are within a fifth of what was measured", (_, size, channels, cbase, cres, blocks, attn, mib) => {
  const { shape } = facts(1, size, channels);
  const network = { arch: "ddpmpp", shape, modelChannels: cbase, channelMult: cres, numBlocks: blocks } as const;
  const found = (4 * activationsPerImage({ ...network, attnResolutions: attn })) / 2 ** 20;
  expect(Math.abs(found / mib - 1)).toBeLessThan(0.2);
  expect(activationsPerImage({ ...network, attnResolutions: attn }, true)).toBeLessThan(
    0.8 * activationsPerImage({ ...network, attnResolutions: attn }),
  );
});

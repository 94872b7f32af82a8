/** Samplers: schedules, convergence against a known flow, the published numbers, and one image per seed. */

import { Generator, memory, noGrad, randint, randn, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { normalize } from "../src/data/image-bank.js";
import { buildDenoiser } from "../src/networks/build.js";
import { Denoiser } from "../src/networks/denoiser.js";
import { SongUNet } from "../src/networks/song-unet.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { denoiseWith, edmMethod, generateImages, toBytes } from "../src/sampling/generate.js";
import { heun } from "../src/sampling/heun.js";
import { drawnClasses, SeededNoise } from "../src/sampling/noise.js";
import { type Denoise, factorOf, forEachImage } from "../src/sampling/sampler.js";
import { karrasSteps } from "../src/sampling/steps.js";
import {
  golden,
  goldenNumbers,
  maxDeviation,
  meanAndError,
  normals,
  publishedDdpmpp,
  relativeDeviation,
  sameBits,
} from "./support.js";

describe("EDM's schedule", () => {
  test("has its published values", () => {
    const published = [
      80, 57.586, 40.7856, 28.3746, 19.3525, 12.9101, 8.40094, 5.31519, 3.25682, 1.92334, 1.08817, 0.585348, 0.296442,
      0.139516, 0.0599473, 0.0229345, 0.00752802, 0.002, 0,
    ];
    const found = karrasSteps(18).times;
    expect(found).toHaveLength(19);
    published.forEach((level, i) => void expect(Math.abs(found[i]! - level)).toBeLessThanOrEqual(1e-5 * level));
    expect(found.at(-1)).toBe(0);
  });

  test.each([
    ["churn0", {}],
    ["churn_window", {}],
    ["other_grid", { sigmaMin: 0.01, sigmaMax: 40, rho: 5 }],
  ] as const)("is that of the published run %s", (name, options) => {
    const published = goldenNumbers(golden("edm-sampler"), `${name}.t_steps`);
    const found = karrasSteps(published.length - 1, options).times;
    published.forEach((level, i) => void expect(Math.abs(found[i]! - level)).toBeLessThanOrEqual(1e-12 * level));
  });

  test("falls strictly, from the highest level to the lowest, and to 0", () => {
    for (const count of [2, 3, 40]) {
      const levels = karrasSteps(count, { sigmaMin: 0.1, sigmaMax: 3, rho: 2 }).times;
      expect(levels).toHaveLength(count + 1);
      expect(levels[0]).toBeCloseTo(3, 12);
      expect(levels[count - 1]).toBeCloseTo(0.1, 12);
      levels.slice(1).forEach((level, i) => void expect(level).toBeLessThan(levels[i]!));
    }
  });

  test.each([
    [1, {}],
    [0, {}],
    [2.5, {}],
    [Number.NaN, {}],
    [8, { sigmaMin: 0 }],
    [8, { sigmaMin: 80 }],
    [8, { sigmaMin: 1, sigmaMax: 0.5 }],
    [8, { sigmaMax: Number.NaN }],
  ])("refuses %s steps with %o", (count, options) => {
    expect(() => karrasSteps(count, options)).toThrow(UsageError);
  });
});

/** Data with independent normal values: the denoiser and the flow from one noise level to another are known. */
const MEAN = 0.3;
const DEVIATION = 0.4;
const gaussian: Denoise = (x, sigma) =>
  scope(() =>
    x
      .sub(MEAN)
      .mul_(factorOf((level) => DEVIATION ** 2 / (DEVIATION ** 2 + level ** 2), sigma, x))
      .add_(MEAN),
  );
describe("churn", () => {
  const churn = { amount: 30, sMin: 0.05, sMax: 50, sNoise: 1 };

  /** Variance of the result for Gaussian data: every step is linear in the image and its noise. */
  function variance(levels: readonly number[]): number {
    const count = levels.length - 1;
    const slopeAt = (sigma: number): number => sigma / (DEVIATION ** 2 + sigma ** 2);
    let result = levels[0]! ** 2;
    for (let i = 0; i < count; i++) {
      const [t, next] = [levels[i]!, levels[i + 1]!];
      const gamma = t >= churn.sMin && t <= churn.sMax ? Math.min(churn.amount / count, Math.SQRT2 - 1) : 0;
      const raised = t * (1 + gamma);
      const euler = 1 + (next - raised) * slopeAt(raised);
      const heunFactor = 1 + ((next - raised) / 2) * (slopeAt(raised) + slopeAt(next) * euler);
      result = (result + raised ** 2 - t ** 2) * (next === 0 ? euler : heunFactor) ** 2;
    }
    return result;
  }

  // The steps themselves are off by 23% and 0.9% of the variance.
  test.each([
    { steps: 20, bias: 0.25 },
    { steps: 150, bias: 0.01 },
  ])("in $steps steps: mean and variance of Gaussian data", ({ steps, bias }) => {
    const count = 20_000;
    const way = karrasSteps(steps);
    const levels = way.times;
    using generator = new Generator(3);
    let draws = 0;
    const sigmas: number[] = [];
    const watched: Denoise = (x, sigma) => {
      sigmas.push(sigma as number);
      return gaussian(x, sigma);
    };
    const found = scope(() => {
      const start = normals([count, 1, 1, 1], 4).mul(levels[0]!);
      const noise = (like: Tensor): Tensor => {
        draws++;
        return randn(like.shape, { generator, dtype: like.dtype });
      };
      return heun.sample(watched, start, way, { churn, noise }).toFloat64Array();
    });
    // Evaluations alternate between the raised level of a step and the level it goes to.
    const inRange = (level: number): boolean => level >= churn.sMin && level <= churn.sMax;
    const raised = levels
      .slice(0, -1)
      .map((level) => (inRange(level) ? level * (1 + Math.min(churn.amount / steps, Math.SQRT2 - 1)) : level));
    expect(
      relativeDeviation(
        sigmas.filter((_, i) => i % 2 === 0),
        raised,
      ),
    ).toBeLessThan(1e-14);

    // Noise is drawn at every step, also where none is added, as the published sampler does.
    expect(draws).toBe(steps);
    const first = meanAndError(found);
    const expected = variance(levels);
    // The start has mean 0 where the data at sigma 80 have 0.3; next to nothing of it is left at the end.
    expect(Math.abs(first.mean - MEAN)).toBeLessThan(4 * first.error + 2e-3);
    const second = meanAndError(found.map((value) => (value - MEAN) ** 2));
    expect(Math.abs(second.mean - expected) / second.error).toBeLessThan(4);
    expect(Math.abs(expected / DEVIATION ** 2 - 1)).toBeLessThan(bias);
  });

  test("without amount draws nothing", () => {
    scope(() => {
      const start = normals([1, 1, 2, 2], 5);
      const noise = (): never => expect.fail("noise was drawn");
      const quiet = heun.sample(gaussian, start, karrasSteps(4), {
        noise,
        churn: { amount: 0, sMin: 0, sMax: 100, sNoise: 1 },
      });
      expect(sameBits(quiet, heun.sample(gaussian, start, karrasSteps(4)))).toBe(true);
    });
  });
});

describe("EDM's sampler gives the published images", () => {
  const weights = golden("edm-ddpmpp");
  const file = golden("edm-sampler");
  const denoiser = publishedDdpmpp(weights);
  afterAll(() => denoiser.dispose());

  const runs = [
    { name: "churn0", options: {}, churn: undefined },
    { name: "other_grid", options: { sigmaMin: 0.01, sigmaMax: 40, rho: 5 }, churn: undefined },
    { name: "churn_window", options: {}, churn: { amount: 30, sMin: 0.05, sMax: 50, sNoise: 1.003 } },
  ];

  test.each(runs)("$name", ({ name, options, churn }) => {
    const steps = karrasSteps(goldenNumbers(file, `${name}.t_steps`).length - 1, options);
    /** The published code draws noise at every step; draw number i belongs to step i. */
    const sample = (denoise: Denoise): { images: Tensor; sigmas: number[] } => {
      const sigmas: number[] = [];
      let step = 0;
      const start = file.tensors.get("latents")!.double().mul(steps.times[0]!);
      const images = heun.sample(
        (x, sigma) => {
          sigmas.push(sigma as number);
          return denoise(x, sigma);
        },
        start,
        steps,
        {
          onStep: ({ step: done }) => {
            step = done + 1;
          },
          ...(churn && { churn, noise: () => file.tensors.get(`${name}.noise`)!.select(0, step).clone() }),
        },
      );
      return { images, sigmas };
    };
    noGrad(() =>
      scope(() => {
        const { images, sigmas } = sample(denoiseWith(denoiser));
        expect(relativeDeviation(sigmas, goldenNumbers(file, `${name}.network_sigmas`))).toBeLessThan(1e-14);
        const single = relativeDeviation(images, goldenNumbers(file, `${name}.images`));
        expect(single, `deviation ${single}`).toBeLessThan(2e-5);
        const exact = sample((x, sigma) => denoiser.forward(x, forEachImage(sigma, x.size(0))));
        const double = relativeDeviation(exact.images, goldenNumbers(file, `${name}.images_float64_network`));
        expect(double, `deviation ${double}`).toBeLessThan(1e-9);
      }),
    );
  });
});

describe("noise by seed", () => {
  // Vectorised in another way, a float32 normal number may differ in its last bits.
  test("is that of the published sampler, classes included", () => {
    const { tensors, metadata } = golden("noise");
    const seeds = JSON.parse(metadata["stacked_seeds"]!) as number[];
    const published = (name: string): Tensor => tensors.get(`stacked.${name}`)!;
    const drawn = (classes: boolean): { latents: Tensor; labels: number[]; follow: Tensor } => {
      const noise = new SeededNoise(seeds);
      const latents = noise.draw([3, 8, 8], "float32");
      const labels = classes ? noise.integers(10) : [];
      const follow = noise.draw([3, 8, 8], "float64");
      noise.dispose();
      return { latents, labels, follow };
    };
    scope(() => {
      const [plain, conditional] = [drawn(false), drawn(true)];
      for (const { latents } of [plain, conditional]) {
        expect(maxDeviation(latents, published("latents"))).toBeLessThan(1e-6);
      }
      expect(maxDeviation(plain.follow, published("follow_1_float64"))).toBeLessThan(1e-12);
      expect(conditional.labels).toEqual(Array.from(published("classes_after_latents").toFloat64Array()));
      expect(maxDeviation(conditional.follow, published("follow_after_classes_float64"))).toBeLessThan(1e-12);
      const shape = { channels: 3, height: 8, width: 8 };
      expect(drawnClasses(seeds, shape, 10)).toEqual(conditional.labels);
    });
  });

  test("every image has the stream of its own seed", () => {
    const noise = new SeededNoise([7, 3, 7 + 2 ** 32]);
    scope(() => {
      const first = noise.draw([1, 4, 5], "float32");
      const second = noise.draw([1, 4, 5], "float64");
      for (const [row, seed] of [7, 3, 7].entries()) {
        const generator = new Generator(seed);
        expect(sameBits(first.select(0, row).contiguous(), randn([1, 4, 5], { generator }))).toBe(true);
        const next = randn([1, 4, 5], { generator, dtype: "float64" });
        expect(sameBits(second.select(0, row).contiguous(), next)).toBe(true);
        generator.dispose();
      }
      expect(maxDeviation(first.select(0, 0), first.select(0, 1))).toBeGreaterThan(0.5);
    });
    noise.dispose();
  });
});

describe("drawing images", () => {
  const shape = { channels: 1, height: 8, width: 8 };
  const denoiser = buildDenoiser({
    arch: "ddpmpp",
    precond: "edm",
    shape,
    modelChannels: 8,
    channelMult: [1, 2],
    numBlocks: 1,
    attnResolutions: [4],
    dropout: 0.5,
  }).eval();
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.add_(normals(parameter.shape, 300 + i, "float32").mul(0.1)));
    }
  });
  afterAll(() => denoiser.dispose());

  test.each([undefined, { amount: 20, sMin: 0.05, sMax: 50, sNoise: 1 }])(
    "image k depends on its seed only, churn %o",
    (churn) => {
      const draw = (seeds: readonly number[]): Uint8Array => {
        const method = edmMethod(denoiser.preconditioning, { steps: 6, ...(churn && { churn }) });
        const { images, classes } = generateImages(denoiser, seeds, { method });
        expect(classes).toBe(undefined);
        expect(images.shape).toEqual([seeds.length, 1, 8, 8]);
        const bytes = images.toTypedArray() as Uint8Array;
        images.dispose();
        return bytes;
      };
      const whole = draw([4, 5, 6, 7, 8]);
      const parts = [draw([4]), draw([5, 6]), draw([7, 8])].flatMap((part) => Array.from(part));
      // Another batch size rounds differently, which can carry a value over the border of a byte.
      expect(maxDeviation(parts, whole)).toBeLessThanOrEqual(1);
      expect(parts.filter((byte, i) => byte !== whole[i]).length).toBeLessThan(5);
      expect(Array.from(draw([8, 4]).subarray(64)).filter((byte, i) => byte !== whole[i]).length).toBeLessThan(2);
      // The images differ, and are not all black and white.
      expect(maxDeviation(whole.subarray(0, 64), whole.subarray(64, 128))).toBeGreaterThan(20);
      expect(whole.filter((byte) => byte > 0 && byte < 255).length).toBeGreaterThan(100);
    },
  );

  test("the classes come from the seeds, after the noise, or are given", () => {
    const conditional = buildDenoiser({
      arch: "ddpmpp",
      precond: "edm",
      shape,
      modelChannels: 8,
      channelMult: [1],
      numBlocks: 1,
      attnResolutions: [],
      dropout: 0,
      labelDim: 5,
    }).eval();
    noGrad(() => {
      for (const [i, parameter] of conditional.parameters().entries()) {
        scope(() => parameter.add_(normals(parameter.shape, 400 + i, "float32").mul(0.1)));
      }
    });
    const seeds = [3, 4, 5, 6, 7, 8];
    const draw = (given?: number[]): { bytes: number[]; classes: readonly number[] | undefined } => {
      const method = edmMethod(conditional.preconditioning, { steps: 3 });
      const { images, classes } = generateImages(conditional, seeds, { method, classes: given });
      const bytes = Array.from(images.toTypedArray() as Uint8Array);
      images.dispose();
      return { bytes, classes };
    };
    // One whole number per seed, from the stream that the noise was drawn from.
    const drawn = seeds.map((seed) =>
      scope(() => {
        using generator = new Generator(seed);
        randn([1, 8, 8], { generator });
        return randint(0, 5, [1], { generator }).item();
      }),
    );
    expect(new Set(drawn).size).toBeGreaterThan(2);
    expect(draw()).toEqual(draw(drawn));
    const other = drawn.map((label) => (label + 1) % 5);
    expect(draw().classes).toEqual(drawn);
    expect(draw(other).classes).toEqual(other);
    expect(maxDeviation(draw(other).bytes, draw().bytes)).toBeGreaterThan(2);
    expect(() => draw([5, 0, 0, 0, 0, 0])).toThrow(/below 5.*5/);
    conditional.dispose();
  });

  test("stays inside the network's range of noise levels, with 2 n - 1 evaluations", () => {
    const seen: number[] = [];
    const edm = edmPreconditioning({ sigmaMin: 0.1, sigmaMax: 20 });
    const narrow = {
      ...edm,
      coefficients: (sigma: number) => {
        seen.push(sigma);
        return edm.coefficients(sigma);
      },
    };
    const network = new SongUNet({
      resolution: 8,
      inChannels: 1,
      outChannels: 1,
      modelChannels: 4,
      channelMult: [1],
      numBlocks: 1,
    });
    const limited = new Denoiser(network, narrow).eval();
    generateImages(limited, [1], { method: edmMethod(narrow, { steps: 5 }) }).images.dispose();
    expect(seen).toHaveLength(9);
    expect(Math.max(...seen)).toBeCloseTo(20, 10);
    expect(Math.min(...seen)).toBeCloseTo(0.1, 10);
    limited.dispose();
  });

  test("leaves the images alone behind, and reports every step", () => {
    const before = memory().tensors;
    const steps: number[] = [];
    const { images } = generateImages(denoiser, [1, 2], {
      method: edmMethod(denoiser.preconditioning, { steps: 4 }),
      onStep: ({ step }) => void steps.push(step),
    });
    expect(steps).toEqual([0, 1, 2, 3]);
    expect(memory().tensors).toBe(before + 1);
    images.dispose();
  });
});

describe("bytes", () => {
  test("all 256 come back from the range of the network", () => {
    scope(() => {
      const bytes = tensor(Uint8Array.from({ length: 256 }, (_, byte) => byte));
      for (const dtype of ["float32", "float64"] as const) {
        expect(toBytes(normalize(bytes).to({ dtype })).toTypedArray()).toEqual(bytes.toTypedArray());
      }
    });
  });

  test("values outside the range are clipped", () => {
    scope(() => {
      const found = toBytes(tensor([-1e9, -1.1, -1, 0, 1, 1.1, 1e9]));
      expect(found.dtype).toBe("uint8");
      expect(Array.from(found.toTypedArray() as Uint8Array)).toEqual([0, 0, 0, 128, 255, 255, 255]);
    });
  });
});

/** Two denoisers as one, and where one takes over from the other. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { grad, loadSafetensors, memory, noGrad, saveSafetensors, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { ClassMixtures } from "../src/analytic/class-mixtures.js";
import { type ClassDenoiser, type HandOverLevel, handOverAt, measureHandOver } from "../src/analytic/hand-over.js";
import { LowRankMixture } from "../src/analytic/low-rank-mixture.js";
import { importNetwork } from "../src/checkpoints/foreign/import.js";
import { transferWeights } from "../src/checkpoints/foreign/transfer.js";
import { loadSnapshot, saveNetwork } from "../src/checkpoints/network-file.js";
import { column } from "../src/column.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { edmProcess, flowProcess, type Process, veProcess, vpProcess } from "../src/processes/process.js";
import { generateImages } from "../src/sampling/generate.js";
import { analyticWeight, type ClassDenoise, handedOver, SMOOTH_BLEND } from "../src/sampling/hand-over.js";
import { knownPixels } from "../src/sampling/known-part.js";
import { logDensity } from "../src/sampling/log-density.js";
import { forEachImage } from "../src/sampling/sampler.js";
import { maxDeviation, normals, relativeDeviation, sameBits } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-hand-over-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** One Gaussian N(mean, spread²) in each of D values. */
function gaussian(mean: number, spread: number, shape = { channels: 1, height: 1, width: 4 }): LowRankMixture {
  const D = shape.channels * shape.height * shape.width;
  return scope(
    () =>
      new LowRankMixture({
        shape,
        sigmaFloor: 0.1,
        counts: Float64Array.of(100),
        means: tensor(new Float64Array(D).fill(mean), { shape: [1, D] }),
        directions: tensor(new Float64Array(0), { shape: [1, 0, D] }),
        variances: tensor(new Float64Array(0), { shape: [1, 0] }),
        rest: tensor(Float64Array.of(spread ** 2)),
      }),
  );
}

/** The denoiser factor(sigma) x, which is linear. */
const linear =
  (factor: (sigma: number) => number): ClassDenoise =>
  (x, sigma) =>
    x.mul(column(forEachImage(sigma, x.size(0)).map(factor), x));

describe("a network with an analytic part", () => {
  const known = gaussian(1, 0.5);
  afterAll(() => known.dispose());
  const levels = Float64Array.of(0.5, 1.99, 2, 2.01, 9);
  const x = normals([5, 1, 1, 4], 3).mul(4);
  const network = linear((sigma) => 1 / (1 + sigma));

  test("is one or the other, image by image", () => {
    scope(() => {
      const seen: number[][] = [];
      const watched: ClassDenoise = (y, sigma, classes) => {
        seen.push(Array.from(forEachImage(sigma, y.size(0))), Array.from(classes ?? []));
        return network(y, sigma);
      };
      let analytic = 0;
      const whole = handedOver(watched, { denoiser: known, above: 2 }, () => void analytic++);
      const found = whole(x, levels, Int32Array.of(5, 6, 7, 8, 9));
      const parts = [network(x, levels), known.denoise(x, levels)] as const;
      const rows = Array.from(levels, (sigma, i) => parts[sigma < 2 ? 0 : 1].select(0, i));
      for (const [i, row] of rows.entries())
        expect(sameBits(found.select(0, i).contiguous(), row.contiguous())).toBe(true);
      expect(seen).toEqual([
        [0.5, 1.99],
        [5, 6],
      ]);
      expect(analytic).toBe(1);
      // Nothing is computed that is not used.
      whole(x, 1.5);
      expect(analytic).toBe(1);
      whole(x, 2.5);
      expect([analytic, seen.length]).toEqual([2, 4]);
    });
  });

  test("passes smoothly from one to the other, half way at the level of the hand-over", () => {
    const part = { above: 2, blend: SMOOTH_BLEND };
    const ends = [2 / Math.sqrt(SMOOTH_BLEND), 2 * Math.sqrt(SMOOTH_BLEND)];
    expect(ends.map((sigma) => analyticWeight(sigma, part))).toEqual([expect.closeTo(0, 12), expect.closeTo(1, 12)]);
    expect(analyticWeight(2, part)).toBeCloseTo(0.5, 12);
    for (const sigma of ends) {
      const slope = (h: number): number =>
        (analyticWeight(sigma + h, part) - analyticWeight(sigma - h, part)) / (2 * h);
      // A derivative of 0 at the ends: the difference quotient falls in proportion to the step.
      expect(Math.abs(slope(1e-3))).toBeLessThan(0.02);
      expect(slope(1e-4) / slope(1e-3)).toBeCloseTo(0.1, 1);
    }
    scope(() => {
      const blended = handedOver(network, { denoiser: known, ...part })(x, levels);
      const weights = column(
        levels.map((sigma) => analyticWeight(sigma, part)),
        x,
      );
      const [below, above] = [network(x, levels), known.denoise(x, levels)];
      const expected = below.mul(weights.neg().add(1)).add(above.mul(weights));
      expect(maxDeviation(blended, expected)).toBeLessThan(1e-12);
    });
  });

  test("has the gradients of both", () => {
    scope(() => {
      const leaf = x.clone().requiresGrad_();
      const of = (denoise: ClassDenoise): Tensor => grad([denoise(leaf, levels).square().sum()], [leaf])[0] as Tensor;
      const found = of(handedOver(network, { denoiser: known, above: 2 }));
      const [below, above] = [of(network), of((y, sigma) => known.denoise(y, forEachImage(sigma, 5)))];
      for (const [i, sigma] of levels.entries()) {
        expect(relativeDeviation(found.select(0, i), (sigma < 2 ? below : above).select(0, i))).toBeLessThan(1e-12);
      }
    });
  });

  test.each<[string, Process, number, number]>([
    ["edm", edmProcess, 0.002, 80],
    ["ve", veProcess(), 1e-5, 1],
    ["vp", vpProcess(), 1e-5, 1],
    ["flow", flowProcess, 0.002, 0.99],
  ])("is a flow whose density integrates to one: %s", (_, process, first, last) => {
    scope(() => {
      const one = { channels: 1, height: 1, width: 1 };
      const right = gaussian(-0.3, 0.5, one);
      // Neither the best denoiser, nor one that agrees with the other.
      const wrong: ClassDenoise = (y, sigma) => {
        const [s, like] = [forEachImage(sigma, y.size(0)), y];
        return y
          .mul(
            column(
              s.map((level) => 0.6 / (0.6 + level ** 2)),
              like,
            ),
          )
          .add(
            y
              .mul(2)
              .sin()
              .mul(
                column(
                  s.map((level) => 0.2 * Math.exp(-level)),
                  like,
                ),
              ),
          );
      };
      const denoise = handedOver(wrong, { denoiser: right, above: 1.3, blend: SMOOTH_BLEND });
      const [count, reach] = [801, 6];
      const grid = Float64Array.from({ length: count }, (_, i) => reach * ((2 * i) / (count - 1) - 1));
      const at = tensor(grid, { shape: [count, 1, 1, 1] });
      // In one dimension a probe of 1 gives the divergence itself.
      const probe = at.mul(0).add(1);
      const { logDensity: found } = logDensity((y, sigma) => denoise(y, sigma), at, [probe], {
        ...{ process, first, last, rtol: 1e-6, atol: 1e-6 },
      });
      const densities = Array.from(found.toFloat64Array(), Math.exp);
      expect(densities[0]).toBeLessThan(1e-4);
      const integral = densities.reduce((sum, density) => sum + density, 0) * ((2 * reach) / (count - 1));
      expect(integral).toBeCloseTo(1, 3);
      right.dispose();
    });
  });
});

describe("where to hand over", () => {
  const spread = 0.7;
  const count = 2000;
  const data = new VectorBank("points", normals([count, 4], 11).mul(spread));
  const best = (sigma: number): number => spread ** 2 / (spread ** 2 + sigma ** 2);
  /** Known error per value of the denoiser a x, for images whose values have variance spread². */
  const errorOf = (a: number, sigma: number): number => (a - 1) ** 2 * spread ** 2 + a ** 2 * sigma ** 2;
  const asClassDenoiser =
    (denoise: ClassDenoise): ClassDenoiser =>
    (x, sigma) =>
      denoise(x, sigma);
  const measure = (network: (sigma: number) => number, analytic: (sigma: number) => number, images = count) =>
    measureHandOver(asClassDenoiser(linear(network)), asClassDenoiser(linear(analytic)), data, {
      ...{ sigmaMin: 0.1, sigmaMax: 40, images },
    });

  test("is where their errors cross, and the errors are those of the formulas", () => {
    // The analytic denoiser believes in a larger spread, which matters at low noise; the network is off at high noise.
    const wide = (sigma: number): number => 1.2 / (1.2 + sigma ** 2);
    const drifting = (sigma: number): number => best(sigma) + 0.12 * Math.min(1, sigma / 3);
    const difference = (sigma: number): number => errorOf(drifting(sigma), sigma) - errorOf(wide(sigma), sigma);
    let [low, high] = [0.2, 10];
    for (let i = 0; i < 60; i++) {
      const middle = Math.sqrt(low * high);
      if (difference(middle) < 0) low = middle;
      else high = middle;
    }
    const found = measure(drifting, wide);
    expect(Math.abs(Math.log((found.equal as number) / low))).toBeLessThan(0.06);
    expect(found.above as number).toBeGreaterThan(found.equal as number);
    expect(found.above as number).toBeLessThan(1.3 * low);
    for (const { sigma, network, analytic, advantage } of found.levels) {
      expect(Math.abs(network.value - errorOf(drifting(sigma), sigma))).toBeLessThan(4.5 * (network.error as number));
      expect(Math.abs(analytic.value - errorOf(wide(sigma), sigma))).toBeLessThan(4.5 * (analytic.error as number));
      expect(Math.abs(advantage.value - difference(sigma))).toBeLessThan(4.5 * (advantage.error as number));
    }
    const levels = found.levels.map(({ sigma }) => sigma);
    expect(levels).toEqual([...levels].sort((a, b) => a - b));
    // The same images and noise: more closely known than either error.
    const near = found.levels.find(({ sigma }) => sigma > low) as HandOverLevel;
    expect(near.advantage.error as number).toBeLessThan(0.5 * (near.network.error as number));
  });

  test("is nowhere for a network that knows better everywhere, and at the lowest level for one that knows nothing", () => {
    const wide = (sigma: number): number => 4 / (4 + sigma ** 2);
    expect(measure(best, wide)).toMatchObject({ above: null, equal: null });
    expect(measure(() => 1, best)).toMatchObject({ above: 0.1, equal: null });
    expect(measure(() => Number.NaN, best)).toMatchObject({ above: null, equal: null });
  });

  test("is nowhere for two of a kind: a difference within its error is no advantage", () => {
    expect(measure(best, best)).toMatchObject({ above: null });
  });

  test("is higher the less is known", () => {
    const drifting = (sigma: number): number => best(sigma) + 0.12 * Math.min(1, sigma / 3);
    const wide = (sigma: number): number => 1.2 / (1.2 + sigma ** 2);
    const [few, many] = [measure(drifting, wide, 64), measure(drifting, wide, count)];
    expect(few.above as number).toBeGreaterThan(many.above as number);
  });

  test("is not below a level at which the network is better, whatever happens below", () => {
    const level = (sigma: number, value: number): HandOverLevel => ({
      ...{ sigma, images: 64, network: { value: 1 }, analytic: { value: 1 } },
      advantage: { value, error: 0.1 },
    });
    const at = (...values: number[]): number | null => handOverAt(values.map((value, i) => level(2 ** i, value))).above;
    expect(at(1, 1, -1, 1, 1)).toBeGreaterThan(4);
    expect(at(1, 1, -1, 1, 1)).toBeLessThanOrEqual(8);
    // Within the error neither is better.
    expect(at(-1, 1, -0.05, 1)).toBeLessThanOrEqual(2);
    expect(at(1, 1, 1, -1)).toBeNull();
  });

  test("is not known from one image", () => {
    const one = new VectorBank("point", normals([1, 4], 12));
    const found = measureHandOver(asClassDenoiser(linear(() => 1)), asClassDenoiser(linear(best)), one, {
      ...{ sigmaMin: 0.1, sigmaMax: 40 },
    });
    expect(found.levels.every(({ advantage }) => advantage.value > 0)).toBe(true);
    expect(found.above).toBeNull();
  });

  test("is found on images of all kinds, however they are sorted", () => {
    // The network knows the first half of the images, and the analytic denoiser the other half.
    const sides = Float64Array.from({ length: 2000 }, (_, i) => (i < 1000 ? -1 : 1) + i * 1e-6);
    const sorted = new VectorBank("sorted", tensor(sides, { shape: [500, 4] }));
    const mixed = new VectorBank(
      "mixed",
      tensor(sides, { shape: [2, 250, 4] })
        .transpose(0, 1)
        .contiguous()
        .view([500, 4]),
    );
    const constant =
      (value: number): ClassDenoiser =>
      (x) =>
        x.mul(0).add(value);
    const measured = (bank: VectorBank) =>
      measureHandOver(constant(-1), constant(1), bank, { sigmaMin: 1, sigmaMax: 2, images: 64 });
    const { levels } = measured(sorted);
    // Of 64 images 32 +- 4 are of either kind, and an error is 4 on those of the other.
    for (const { network, analytic, images } of levels) {
      expect(images).toBe(64);
      expect(network.value + analytic.value).toBeCloseTo(4, 1);
      expect(Math.abs(network.value - 2)).toBeLessThan(1.2);
    }
    expect(measured(mixed).levels).toEqual(levels);
  });

  test("needs a range of levels", () => {
    const same = asClassDenoiser(linear(best));
    expect(() => measureHandOver(same, same, data, { sigmaMin: 3, sigmaMax: 2 })).toThrow(RangeError);
    expect(() => measureHandOver(same, same, data, { sigmaMin: 0, sigmaMax: 2 })).toThrow(RangeError);
  });
});

const shape = { channels: 1, height: 4, width: 4 };
const config: NetworkConfig = {
  ...{ arch: "mlp", precond: "edm", shape, modelChannels: 16, numBlocks: 1, labelDim: 2, channelMult: [] },
  ...{ attnResolutions: [], dropout: 0, augmentDim: 0 },
};

/** A network with random weights. */
function randomNetwork(seed: number, more: Partial<NetworkConfig> = {}): ReturnType<typeof buildDenoiser> {
  const denoiser = buildDenoiser({ ...config, ...more });
  noGrad(() => {
    for (const [i, parameter] of denoiser.parameters().entries()) {
      scope(() => parameter.copy_(normals(parameter.shape, seed + i, "float32").mul(0.3)));
    }
  });
  return denoiser.eval();
}

/** Black for one class and white for the other, grey for any. */
const byClass = (): ClassMixtures =>
  new ClassMixtures(
    gaussian(0, 0.1, shape),
    new Map([
      [0, gaussian(-0.8, 0.1, shape)],
      [1, gaussian(0.8, 0.1, shape)],
    ]),
  );

describe("images are drawn with both", () => {
  const network = randomNetwork(40);
  const mixtures = byClass();
  const seeds = [1, 2, 3, 4];
  afterAll(() => {
    network.dispose();
    mixtures.dispose();
  });
  const drawn = (options: Parameters<typeof generateImages>[2]): Float64Array =>
    scope(() => generateImages(network, seeds, options).images.toFloat64Array());

  test("those of the network alone where the other is never used", () => {
    const counts = { network: 0, analytic: 0 };
    const counting = {
      onEvaluation: () => void counts.network++,
      onAnalytic: () => void counts.analytic++,
    };
    expect(drawn({ analytic: { denoiser: mixtures, above: 100 }, ...counting })).toEqual(drawn({}));
    expect(counts).toEqual({ network: 35, analytic: 0 });
  });

  test("of the class that the network is told, and no evaluation of the network where it is not needed", () => {
    const counts = { network: 0, analytic: 0 };
    const images = drawn({
      classes: [0, 1, 1, 0],
      analytic: { denoiser: mixtures, above: 0.001 },
      onEvaluation: () => void counts.network++,
      onAnalytic: () => void counts.analytic++,
    });
    expect(counts).toEqual({ network: 0, analytic: 35 });
    const means = seeds.map((_, i) => images.slice(16 * i, 16 * (i + 1)).reduce((sum, value) => sum + value, 0) / 16);
    // Bytes of -0.8 and 0.8, within 5 standard errors of the mean of 16 values.
    const wanted = [26, 230, 230, 26];
    for (const [i, mean] of means.entries()) expect(Math.abs(mean - (wanted[i] as number))).toBeLessThan(16);
  });

  test("guidance moves from the mixture of all classes to that of the class and further", () => {
    const classes = [0, 1, 1, 0];
    const analytic = { denoiser: mixtures, above: 0.001 };
    const meanOf = (images: Float64Array, i: number): number =>
      images.slice(16 * i, 16 * (i + 1)).reduce((sum, value) => sum + value, 0) / 16;
    const [half, full] = [0.5, 1].map((weight) => drawn({ classes, analytic, guidance: { weight } }));
    expect(meanOf(half as Float64Array, 0)).toBeGreaterThan(meanOf(full as Float64Array, 0) + 20);
    expect(meanOf(half as Float64Array, 1)).toBeLessThan(meanOf(full as Float64Array, 1) - 20);
  });

  test("nothing guides away from a network that is told the same class", () => {
    const weak = randomNetwork(90);
    const options = { classes: [0, 1, 1, 0], analytic: { denoiser: mixtures, above: 0.001 } };
    expect(drawn({ ...options, guidance: { weight: 3, by: weak } })).toEqual(drawn(options));
    weak.dispose();
  });

  test("a known part stays as it is", () => {
    scope(() => {
      const image = normals([1, 1, 4, 4], 8).mul(0.3);
      const mask = tensor(
        Float64Array.from({ length: 16 }, (_, i) => i % 2),
        { shape: [1, 1, 4, 4] },
      );
      const known = knownPixels(image, mask);
      const found = drawn({ classes: [0, 0, 0, 0], known, analytic: { denoiser: mixtures, above: 0.5 } });
      const bytes = image.mul(127.5).add(128).clamp(0, 255).toFloat64Array();
      for (let i = 1; i < 16; i += 2) expect(found[i]).toBe(Math.floor(bytes[i] as number));
    });
  });
});

describe("a snapshot with an analytic part", () => {
  const handOver = handOverAt([
    {
      ...{ sigma: 2, images: 100, network: { value: 3, error: 0.1 }, analytic: { value: 2, error: 0.1 } },
      advantage: { value: 1, error: 0.05 },
    },
  ]);
  const network = randomNetwork(60);
  const mixtures = byClass();
  const path = join(folder, "network.safetensors");
  saveNetwork(path, network, config, { images: 7 }, { analytic: { denoiser: mixtures, handOver } });
  afterAll(() => {
    network.dispose();
    mixtures.dispose();
  });

  test("has it again, and frees it", () => {
    const before = memory().tensors;
    const { denoiser, analytic, about, dispose } = loadSnapshot(path);
    expect(about).toEqual({ images: 7 });
    expect(analytic?.handOver).toEqual(handOver);
    scope(() => {
      const x = normals([2, 16], 5);
      const sigma = Float64Array.of(0.7, 3);
      const classes = Int32Array.of(1, 0);
      expect(
        relativeDeviation(analytic!.denoiser.denoise(x, sigma, classes), mixtures.denoise(x, sigma, classes)),
      ).toBeLessThan(1e-6);
      const images = x.view([2, 1, 4, 4]).float();
      expect(maxDeviation(denoiser.forward(images, sigma), network.forward(images, sigma))).toBeLessThan(1e-5);
    });
    dispose();
    expect(memory().tensors).toBe(before);
  });

  test("without one has none", () => {
    const plain = join(folder, "plain.safetensors");
    saveNetwork(plain, network, config, {});
    const { analytic, dispose } = loadSnapshot(plain);
    expect(analytic).toBeUndefined();
    dispose();
  });

  /** A copy of the snapshot with other tensors or metadata. */
  function changed(
    name: string,
    tensors: Record<string, Tensor | undefined>,
    metadata: Record<string, string>,
  ): string {
    const at = join(folder, name);
    const content = loadSafetensors(path);
    const all = new Map(content.tensors);
    for (const [key, value] of Object.entries(tensors)) {
      if (value) all.set(key, value);
      else all.delete(key);
    }
    saveSafetensors(at, all, { ...content.metadata, ...metadata });
    for (const each of content.tensors.values()) each.dispose();
    return at;
  }

  test("that is damaged says so, and frees everything", () => {
    scope(() => {
      const nothing = tensor(Float64Array.of(Number.NaN, 1));
      const damaged: [string, string][] = [
        [changed("a.safetensors", { "analytic.all.means": undefined }, {}), 'the tensor "all.means", which is missing'],
        [changed("b.safetensors", { "analytic.all.rest": nothing }, {}), 'tensor "all.rest"'],
        [changed("c.safetensors", {}, { analytic: "{" }), '"analytic" is missing or damaged'],
        [changed("d.safetensors", {}, { analytic: '{"above":-1,"equal":null,"levels":[]}' }), "does not say where"],
        [
          changed(
            "e.safetensors",
            {},
            { network: JSON.stringify({ ...config, shape: { channels: 1, height: 2, width: 8 } }) },
          ),
          "8x2x1",
        ],
        [
          changed("f.safetensors", {}, { network: JSON.stringify({ ...config, shape: undefined }) }),
          'no network can be built from its "network"',
        ],
      ];
      const before = memory().tensors;
      for (const [file, says] of damaged) {
        expect(() => loadSnapshot(file)).toThrow(file);
        expect(() => loadSnapshot(file)).toThrow(says);
      }
      expect(memory().tensors).toBe(before);
    });
  });

  test("gives another training its weights alone", () => {
    const fresh = randomNetwork(500);
    const before = memory().tensors;
    const { copied, missing, unused } = transferWeights(path, [fresh]);
    expect([copied.length, missing, unused]).toEqual([fresh.stateDict().size, [], []]);
    expect(memory().tensors).toBe(before);
    scope(() => {
      const x = normals([1, 1, 4, 4], 6, "float32");
      expect(maxDeviation(fresh.forward(x, Float64Array.of(1)), network.forward(x, Float64Array.of(1)))).toBeLessThan(
        1e-6,
      );
    });
    fresh.dispose();
    expect(() => importNetwork(path)).toThrow("is a network snapshot already");
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });
});

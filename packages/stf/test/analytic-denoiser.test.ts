/** Analytic denoisers against dense matrices in float64, and against each other. */

import { grad, linalgQr, memory, scope, stack, type Tensor, tensor, zeros } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { ClassMixtures } from "../src/analytic/class-mixtures.js";
import { LowRankMixture, type MixtureParameters } from "../src/analytic/low-rank-mixture.js";
import { mixtureFromTensors, mixtureTensors } from "../src/analytic/mixture-tensors.js";
import { PosteriorDenoiser } from "../src/analytic/posterior-denoiser.js";
import {
  bankOf,
  maxDeviation,
  normals,
  posteriorMean,
  randomBytes,
  relativeDeviation,
  sameBits,
  unit,
} from "./support.js";

const LEVELS = [0.05, 0.3, 1, 2, 7, 20, 80];
const sigma = Float64Array.from(LEVELS);
const shape = { channels: 2, height: 1, width: 4 };
const D = 8;

/** Three Gaussians, the last with one direction less than the others. */
function parametersOf(seed: number, scale = 1): MixtureParameters {
  return scope(() => {
    const directions = linalgQr(normals([3, D, 3], seed))[0]
      .transpose(1, 2)
      .contiguous();
    return {
      shape,
      sigmaFloor: 0.5,
      counts: Float64Array.of(500, 200, 300),
      means: normals([3, D], seed + 1).mul(scale),
      directions,
      variances: tensor(Float64Array.of(2, 1, 0.5, 0.7, 0.6, 0.1, 3, 0.2, 0), { shape: [3, 3] }),
      rest: tensor(Float64Array.of(0.1, 0.02, 0.3)),
    };
  });
}

const parameters = parametersOf(1);
const mixture = new LowRankMixture(parameters);
const x = normals([LEVELS.length, D], 5).mul(3);
afterAll(() => mixture.dispose());

/** ln pi_m N_m(x) and nu_m of each component from dense matrices, with eigenvalues for the inverse and the determinant. */
function dense({ counts, means, directions, variances, rest }: MixtureParameters, at: Tensor, levels: Float64Array) {
  const all = counts.reduce((sum, count) => sum + count, 0);
  const rows = Array.from(levels, (level, row) => {
    const parts = Array.from(counts, (count, m) => {
      const U = directions.select(0, m).double();
      const rests = tensor(new Float64Array(D).fill(rest.select(0, m).item())).diagEmbed();
      const S = U.t().mm(variances.select(0, m).diagEmbed()).mm(U).add(rests);
      const noisy = S.add(tensor(new Float64Array(D).fill(level ** 2)).diagEmbed());
      const [values, vectors] = noisy.linalgEigh();
      const d = at.select(0, row).double().sub(means.select(0, m));
      const solved = vectors.mv(vectors.t().mv(d).div(values));
      const quadratic = d.dot(solved).item() + values.log().sum().item() + D * Math.log(2 * Math.PI);
      return { logit: Math.log(count / all) - quadratic / 2, mean: means.select(0, m).add(S.mv(solved)) };
    });
    const logits = tensor(Float64Array.from(parts, ({ logit }) => logit));
    const mean = logits
      .softmax(0)
      .unsqueeze(0)
      .mm(stack(parts.map((part) => part.mean)))
      .squeeze(0);
    return { mean, logDensity: logits.logsumexp(0) };
  });
  return { mean: stack(rows.map(({ mean }) => mean)), logDensity: stack(rows.map((row) => row.logDensity)) };
}

describe("a mixture agrees with dense matrices", () => {
  test.each([0, 1, 2, 3])("points of one kind, %s", (seed) => {
    scope(() => {
      const own = new LowRankMixture(parametersOf(10 * seed, seed));
      // Also at the components themselves, where the quadratic form is near 0.
      const at = seed === 3 ? own.parameters.means.indexSelect(0, tensor(Int32Array.of(0, 1, 2, 0, 1, 2, 0))) : x;
      const expected = dense(own.parameters, at, sigma);
      expect(maxDeviation(own.denoise(at, sigma), expected.mean)).toBeLessThan(1e-11);
      expect(maxDeviation(own.logDensity(at, sigma), expected.logDensity)).toBeLessThan(1e-10);
      const score = expected.mean.sub(at).div(tensor(sigma.map((level) => level ** 2)).unsqueeze(1));
      expect(relativeDeviation(own.score(at, sigma), score)).toBeLessThan(1e-11);
      own.dispose();
    });
  });

  test("in float32 up to its rounding, as images or rows, in any order in memory", () => {
    scope(() => {
      const expected = dense(parameters, x.float(), sigma);
      const images = x.float().view([LEVELS.length, 2, 1, 4]).to({ memoryFormat: "channelsLast" });
      const found = mixture.denoise(images, sigma);
      expect(found.shape).toEqual(images.shape);
      expect(found.dtype).toBe("float32");
      expect(maxDeviation(found.flatten(), expected.mean.flatten())).toBeLessThan(1e-6);
      const single = new LowRankMixture({
        ...parameters,
        directions: parameters.directions.float(),
        means: parameters.means.clone(),
        variances: parameters.variances.clone(),
        rest: parameters.rest.clone(),
      });
      expect(maxDeviation(single.denoise(x.float(), sigma), expected.mean)).toBeLessThan(3e-6);
      expect(relativeDeviation(single.logDensity(x.float(), sigma), expected.logDensity)).toBeLessThan(3e-6);
      single.dispose();
    });
  });
});

describe("a mixture agrees with itself", () => {
  test("the score is the gradient of the log-density, and the denoiser follows from it", () => {
    scope(() => {
      const at = x.clone().requiresGrad_();
      const [gradient] = grad([mixture.logDensity(at, sigma).sum()], [at]) as [Tensor];
      const score = mixture.score(x, sigma);
      expect(relativeDeviation(score, gradient)).toBeLessThan(1e-11);
      const noise = tensor(sigma.map((level) => level ** 2)).unsqueeze(1);
      expect(maxDeviation(mixture.denoise(x, sigma), x.add(gradient.mul(noise)))).toBeLessThan(1e-9);
    });
  });

  test("gradients flow through the denoiser: its Jacobian is symmetric, as that of a posterior mean must be", () => {
    scope(() => {
      const at = x.narrow(0, 2, 1).clone().requiresGrad_();
      const output = mixture.denoise(at, Float64Array.of(1)).squeeze(0);
      const rows = Array.from(
        { length: D },
        (_, i) => (grad([output.select(0, i)], [at], { retainGraph: true }) as [Tensor])[0],
      );
      const jacobian = stack(rows).view([D, D]);
      expect(maxDeviation(jacobian, jacobian.t())).toBeLessThan(1e-12);
      expect(jacobian.linalgEigvalsh().min().item()).toBeGreaterThan(0);
    });
  });

  test.each([1, 2])("its density integrates to one in %s dimensions", (dimension) => {
    scope(() => {
      const own = new LowRankMixture({
        shape: { channels: dimension, height: 1, width: 1 },
        sigmaFloor: 0.1,
        counts: Float64Array.of(1, 3),
        means: tensor(Float64Array.from([-1, 0.5, 2, -1].slice(0, 2 * dimension)), { shape: [2, dimension] }),
        directions: tensor(Float64Array.from([0.6, 0.8, 0, 1]), { shape: [2, 1, 2] })
          .narrow(2, 0, dimension)
          .div(tensor(Float64Array.from(dimension === 1 ? [0.6, 1] : [1, 1]), { shape: [2, 1, 1] })),
        variances: tensor(Float64Array.of(1.5, dimension === 1 ? 0 : 0.4), { shape: [2, 1] }),
        rest: tensor(Float64Array.of(0.05, 0.2)),
      });
      const step = 0.05;
      const line = Array.from({ length: 401 }, (_, i) => (i - 200) * step);
      const points = dimension === 1 ? line.map((a) => [a]) : line.flatMap((a) => line.map((b) => [a, b]));
      const grid = tensor(Float64Array.from(points.flat()), { shape: [points.length, dimension] });
      for (const level of [0.2, 1]) {
        const logs = own.logDensity(grid, new Float64Array(points.length).fill(level));
        expect(Math.abs(logs.exp().sum().item() * step ** dimension - 1)).toBeLessThan(1e-6);
      }
      own.dispose();
    });
  });

  test("the most noise leaves the mean of the data", () => {
    scope(() => {
      const far = mixture.denoise(x, new Float64Array(LEVELS.length).fill(1e6));
      const mean = tensor(Float64Array.of(0.5, 0.2, 0.3))
        .unsqueeze(0)
        .mm(parameters.means);
      expect(maxDeviation(far, mean.expand(x.shape))).toBeLessThan(1e-4);
    });
  });
});

const images = Array.from({ length: 12 }, (_, i) => randomBytes(D, i));
const labels = Int32Array.from(images.keys(), (i) => i % 3);
const bank = bankOf(images, shape);
const values = images.map((image) => Float64Array.from(image, unit));
const labelled = Object.assign(bankOf(images, shape), { labels });
afterAll(() => {
  bank.dispose();
  labelled.dispose();
});

describe("the exact posterior mean", () => {
  const exact = new PosteriorDenoiser(bank, { sigmaFloor: 1 });

  test("agrees with the definition", () => {
    scope(() => {
      const [means, logs, scores] = [exact.denoise(x, sigma), exact.logDensity(x, sigma), exact.score(x, sigma)];
      LEVELS.forEach((level, row) => {
        const at = x.select(0, row).toFloat64Array();
        const { mean } = posteriorMean(at, values, level);
        expect(maxDeviation(means.select(0, row), mean)).toBeLessThan(1e-6);
        const score = mean.map((value, d) => (value - at[d]!) / level ** 2);
        expect(relativeDeviation(scores.select(0, row), score)).toBeLessThan(1e-6);
        const densities = values.map((value) => {
          const distance = value.reduce((sum, v, d) => sum + (v - at[d]!) ** 2, 0);
          return Math.exp(-distance / (2 * level ** 2)) / (2 * Math.PI * level ** 2) ** (D / 2);
        });
        const density = densities.reduce((sum, value) => sum + value, 0) / values.length;
        if (density > 0) expect(Math.abs(logs.select(0, row).item() - Math.log(density))).toBeLessThan(1e-8);
        else expect(logs.select(0, row).item()).toBeLessThan(-700);
      });
    });
  });

  test("is the mixture of its images without spread", () => {
    scope(() => {
      const each = new LowRankMixture({
        shape,
        sigmaFloor: 0.01,
        counts: new Float64Array(12).fill(1),
        means: tensor(Float64Array.from(values.flatMap((value) => [...value])), { shape: [12, D] }),
        directions: zeros([12, 0, D]),
        variances: zeros([12, 0], { dtype: "float64" }),
        rest: zeros([12], { dtype: "float64" }),
      });
      expect(maxDeviation(exact.denoise(x, sigma), each.denoise(x, sigma))).toBeLessThan(1e-6);
      expect(relativeDeviation(exact.logDensity(x, sigma), each.logDensity(x, sigma))).toBeLessThan(1e-9);
      each.dispose();
    });
  });

  test("by class it is over the images of that class; without one, or of an unknown one, over all", () => {
    scope(() => {
      const byClass = new PosteriorDenoiser(labelled, { sameClass: true });
      const classes = Int32Array.of(0, 1, 2, -1, 1, 9, 0);
      const means = byClass.denoise(x, sigma, classes);
      const logs = byClass.logDensity(x, sigma, classes);
      LEVELS.forEach((level, row) => {
        const members = values.filter((_, i) => classes[row]! < 0 || classes[row]! > 2 || labels[i] === classes[row]);
        const { mean } = posteriorMean(x.select(0, row).toFloat64Array(), members, level);
        expect(maxDeviation(means.select(0, row), mean)).toBeLessThan(1e-6);
      });
      const alone = bankOf(
        images.filter((_, i) => labels[i] === 1),
        shape,
      );
      const own = new PosteriorDenoiser(alone).logDensity(x.narrow(0, 4, 1), sigma.subarray(4, 5));
      expect(Math.abs(logs.select(0, 4).item() - own.item())).toBeLessThan(1e-9);
      alone.dispose();
    });
    expect(() => new PosteriorDenoiser(bank, { sameClass: true })).toThrow(/need class labels/);
  });
});

test("mixtures by class: each image gets that of its class, or that of all", () => {
  scope(() => {
    const own = new ClassMixtures(
      new LowRankMixture(parametersOf(20)),
      new Map([3, 5].map((label) => [label, new LowRankMixture(parametersOf(label))])),
    );
    const classes = Int32Array.of(5, 3, -1, 5, 4, 3, 3);
    const which = classes.map((label) => (label === 3 || label === 5 ? label : 20));
    for (const name of ["denoise", "score", "logDensity"] as const) {
      const found = own[name](x, sigma, classes);
      which.forEach((seed, row) => {
        const single = seed === 20 ? own.whole : own.classes.get(seed)!;
        const expected = single[name](x.narrow(0, row, 1), sigma.subarray(row, row + 1));
        expect(maxDeviation(found.narrow(0, row, 1), expected)).toBeLessThan(1e-11);
      });
      expect(sameBits(own[name](x, sigma), own.whole[name](x, sigma))).toBe(true);
    }
    own.dispose();
  });
});

describe("stored mixtures", () => {
  test("come back: exactly in float64, and closely in float16", () => {
    scope(() => {
      for (const [dtype, bound] of [
        ["float64", 1e-12],
        ["float32", 1e-5],
        ["float16", 1e-2],
      ] as const) {
        const stored = mixtureTensors(mixture, dtype);
        expect(stored.get("all.directions")?.dtype).toBe(dtype);
        const read = mixtureFromTensors(stored);
        expect(read).toMatchObject({ shape, sigmaFloor: 0.5 });
        expect(maxDeviation(read.denoise(x, sigma), mixture.denoise(x, sigma))).toBeLessThan(bound);
        // Directions at right angles again: the denoiser still belongs to the density.
        const at = x.clone().requiresGrad_();
        const [gradient] = grad([read.logDensity(at, sigma).sum()], [at]) as [Tensor];
        expect(relativeDeviation(read.score(x, sigma), gradient)).toBeLessThan(dtype === "float64" ? 1e-11 : 1e-4);
        read.dispose();
      }
    });
  });

  test("by class", () => {
    scope(() => {
      const own = new ClassMixtures(
        new LowRankMixture(parametersOf(20)),
        new Map([[7, new LowRankMixture(parametersOf(7))]]),
      );
      const read = mixtureFromTensors(mixtureTensors(own, "float64"));
      const classes = new Int32Array(LEVELS.length).fill(7);
      expect(maxDeviation(read.denoise(x, sigma, classes), own.denoise(x, sigma, classes))).toBeLessThan(1e-12);
      expect(maxDeviation(read.denoise(x, sigma), own.denoise(x, sigma))).toBeLessThan(1e-12);
      const turned = mixtureTensors(own).set("class7.shape", tensor(Int32Array.of(1, 2, 4)));
      expect(() => mixtureFromTensors(turned)).toThrow(/one shape, found 4x1x2 and 4x2x1/);
      for (const each of [own, read]) each.dispose();
    });
  });

  test("damaged ones are refused, and nothing is left behind", () => {
    scope(() => {
      const stored = mixtureTensors(mixture);
      const before = memory().tensors;
      const changed = (name: string, value?: Tensor): (() => void) => {
        const others = [...stored].filter(([other]) => other !== name);
        return () => void mixtureFromTensors(new Map(value ? [...others, [name, value]] : others));
      };
      expect(changed("all.means")).toThrow(/"all.means", which is missing/);
      expect(memory().tensors).toBe(before);
      expect(changed("all.rest", tensor([1, 2]))).toThrow(/"all.rest".*must have the sizes 3, found 2/);
      expect(changed("all.rest", tensor([1, -2, 1]))).toThrow(/damaged/);
      expect(changed("all.rest", tensor([1, Number.NaN, 1]))).toThrow(/damaged/);
      expect(changed("all.sigmaFloor", tensor([0]))).toThrow(/damaged/);
      expect(changed("class2.means", tensor([0]))).toThrow(/"class2.shape", which is missing/);
    });
  });
});

test("what does not fit is refused in one line, and nothing is left behind", () => {
  scope(() => {
    const exact = new PosteriorDenoiser(bank);
    const byClass = new ClassMixtures(mixture, new Map());
    for (const each of [mixture, byClass, exact]) {
      expect(() => each.denoise(normals([2, 7], 1), Float64Array.of(1, 1))).toThrow(
        /\[B, 2, 1, 4\] or \[B, 8\], found \[2, 7\]/,
      );
      expect(() => each.denoise(normals([2, 4, 1, 2], 1), Float64Array.of(1, 1))).toThrow(/found \[2, 4, 1, 2\]/);
      expect(() => each.score(x, Float64Array.of(1))).toThrow(/7 noisy images need as many noise levels, found 1/);
      expect(() => each.logDensity(x, sigma.with(2, 0))).toThrow(/positive numbers, found 0/);
      const before = memory().tensors;
      const results = [each.denoise(x, sigma), each.score(x, sigma), each.logDensity(x, sigma)];
      expect(memory().tensors).toBe(before + 3);
      for (const result of results) result.dispose();
    }
    expect(() => exact.denoise(x, sigma, Int32Array.of(1))).toThrow(/as many classes, found 1/);
    const before = memory().tensors;
    const copy = mixture.to("cpu");
    expect(sameBits(copy.denoise(x, sigma), mixture.denoise(x, sigma))).toBe(true);
    expect(copy.bytes).toBe(8 * (3 * D + 3 * 3 * D + 9 + 3 + 3 + D + 3 * D + 9));
    copy.dispose();
    expect(memory().tensors).toBe(before + 2);
  });
});

/** The curves of an analysis: against closed forms, and against sums over every source and every set of references in float64. */

import { scope, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { divergenceTerms, varianceBound } from "../src/analysis/divergence.js";
import { EmpiricalTruth } from "../src/analysis/empirical-truth.js";
import { controlled, ratioOf } from "../src/analysis/estimates.js";
import { type AnalysisLevel, analysisLevels } from "../src/analysis/levels.js";
import { KnownTruth } from "../src/analysis/mixture-truth.js";
import { phasesOf } from "../src/analysis/phases.js";
import { posteriorViews } from "../src/analysis/posterior-pictures.js";
import { neededReferences, suggestedLevels } from "../src/analysis/suggestions.js";
import { dataMoments } from "../src/analysis/value-moments.js";
import { varianceCurves } from "../src/analysis/variance.js";
import { ImageBank } from "../src/data/image-bank.js";
import { gaussianMixture } from "../src/data/mixture.js";
import { twoGaussians } from "../src/data/toy.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { flowPreconditioning } from "../src/preconditioning/flow.js";
import { vePreconditioning } from "../src/preconditioning/ve.js";
import { logNormalLevels } from "../src/processes/noise-levels.js";
import type { LevelReport } from "../src/run/variance-report.js";
import { meanAndError, randomBytes, uniforms, unit } from "./support.js";

const plain = (sigma: number): AnalysisLevel => ({ sigma, time: sigma, scale: 1, lossWeight: 1 });
const levelsAt = (...sigma: number[]): AnalysisLevel[] => sigma.map(plain);

const N = 7;
const D = 3;
const bytes = randomBytes(N * D, 5);
const clean = Array.from({ length: N }, (_, i) => Array.from(bytes.subarray(i * D, (i + 1) * D), unit));
/** The last class has one member. */
const labels = Int32Array.from([0, 1, 0, 1, 0, 0, 2]);
const bank = ImageBank.fromBytes("seven", { channels: 3, height: 1, width: 1 }, bytes, { labels });
const square = ImageBank.fromBytes("squares", { channels: 1, height: 2, width: 2 }, randomBytes(40, 9));
afterAll(() => {
  bank.dispose();
  square.dispose();
});

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const distance = (a: readonly number[], b: readonly number[]): number => sum(a.map((value, d) => (value - b[d]!) ** 2));

/** The posterior over some points given x, by its definition. */
function posteriorOf(x: readonly number[], sigma: number, points: readonly (readonly number[])[]) {
  const logits = points.map((point) => -distance(x, point) / (2 * sigma ** 2));
  const highest = Math.max(...logits);
  const masses = logits.map((logit) => Math.exp(logit - highest));
  const weights = masses.map((mass) => mass / sum(masses));
  return { weights, mean: Array.from({ length: D }, (_, d) => sum(points.map((point, k) => weights[k]! * point[d]!))) };
}

/** All subsets with a number of members. */
function subsets(items: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return items.flatMap((item, i) => subsets(items.slice(i + 1), size - 1).map((rest) => [item, ...rest]));
}

/** E ||T_n - D*||² / D given x, over every source and every set of references. */
function exactError(x: readonly number[], sigma: number, n: number, members: readonly number[]): number {
  const whole = posteriorOf(
    x,
    sigma,
    members.map((k) => clean[k]!),
  );
  const expected = members.map((source, k) => {
    const sets = subsets(
      members.filter((other) => other !== source),
      n - 1,
    );
    const errors = sets.map((others) => {
      const { mean } = posteriorOf(
        x,
        sigma,
        [source, ...others].map((item) => clean[item]!),
      );
      return distance(mean, whole.mean) / D;
    });
    return whole.weights[k]! * (sum(errors) / errors.length);
  });
  return sum(expected);
}

/** The noisy vector of a sample. */
function noisyOf(truth: EmpiricalTruth, sample: number, sigma: number): number[] {
  const noise = scope(() => truth.samples.noiseOf(sample).toFloat64Array());
  return clean[truth.samples.sourceOf(sample)]!.map((value, d) => value + sigma * noise[d]!);
}

describe("a data set as the truth", () => {
  test("every finding about a sample is that of the posterior by its definition", () => {
    for (const sameClass of [false, true]) {
      const truth = new EmpiricalTruth(bank, { seed: 3, sameClass });
      const sigma = Float64Array.of(0.05, 0.4, 1, 3);
      for (let sample = 0; sample < 10; sample++) {
        const found = truth.examine(sample, sigma, ["all"]);
        const item = truth.samples.sourceOf(sample);
        const members = Array.from(labels.keys()).filter((k) => !sameClass || labels[k] === labels[item]);
        const points = members.map((k) => clean[k]!);
        const centre = Array.from({ length: D }, (_, d) => sum(points.map((point) => point[d]!)) / points.length);
        sigma.forEach((level, i) => {
          const { weights, mean } = posteriorOf(noisyOf(truth, sample, level), level, points);
          const variance = sum(points.map((point, k) => weights[k]! * distance(point, mean))) / D;
          const ratios = weights.map((weight) => weight * points.length);
          const divergence = sum(
            ratios.map((rho, k) => {
              // f(1 / rho), for large 1 / rho multiplied out.
              return rho > 2 / 3 ? weights[k]! * (rho - 1) ** 2 : 8 / 27 / points.length - weights[k]! / 3;
            }),
          );
          expect(found.variance[i]).toBeCloseTo(variance, 5);
          expect(found.explained[i]).toBeCloseTo(distance(mean, centre) / D, 5);
          expect(found.divergence[i]).toBeCloseTo(divergence, 5);
          expect(found.posterior?.effective[i]).toBeCloseTo(1 / sum(weights.map((w) => w * w)), 6);
          expect(found.posterior?.entropy[i]).toBeCloseTo(-sum(weights.map((w) => (w > 0 ? w * Math.log(w) : 0))), 6);
          expect(found.posterior?.source[i]).toBeCloseTo(weights[members.indexOf(item)]!, 6);
          expect(found.errors[0]?.[i]).toBe(0);
        });
      }
    }
  });

  test.each([1, 2, 3, 5])("the error of %i references is that over every source and every set, without bias", (n) => {
    const truth = new EmpiricalTruth(bank, { seed: 11 });
    const members = Array.from(labels.keys());
    const sigma = Float64Array.of(0.3, 0.8, 2);
    const differences: number[][] = [[], [], []];
    for (let sample = 0; sample < 150; sample++) {
      const found = truth.examine(sample, sigma, [n, 6]).errors[0]!;
      sigma.forEach((level, i) => {
        differences[i]!.push(found[i]! - exactError(noisyOf(truth, sample, level), level, n, members));
      });
    }
    for (const values of differences) {
      const { mean, error } = meanAndError(values);
      expect(Math.abs(mean)).toBeLessThan(4 * error + 1e-12);
    }
  });

  test("where any image is as likely as any other, n of N references leave (N - n) / (n (N - 1)) of the variance", () => {
    const truth = new EmpiricalTruth(square, { seed: 1 });
    const references = [1, 2, 5, 9, "all"] as const;
    const [level] = varianceCurves(truth, { levels: levelsAt(1e5), references, samples: 500 });
    references.forEach((n, k) => {
      const { value, error = 0 } = level!.ratio[k]!;
      const expected = n === "all" ? 0 : (10 - n) / (n * 9);
      expect(Math.abs(value - expected)).toBeLessThanOrEqual(4 * error + 1e-9);
    });
    expect(level!.floor.value).toBeCloseTo(truth.variance, 6);
    expect(level!.posterior!.effective.value).toBeCloseTo(10, 4);
  });

  test("two images have the variance of two points, and its peak is where theory puts it", () => {
    const two = ImageBank.fromBytes("two", { channels: 1, height: 1, width: 2 }, Uint8Array.from([0, 255, 255, 0]));
    const truth = new EmpiricalTruth(two, { seed: 2 });
    const norm = Math.sqrt(2);
    const sigma = [0.5, 0.6, 0.8, 1.2, 2, 4];
    const found = varianceCurves(truth, { levels: levelsAt(...sigma), references: [1], samples: 1500 });
    const theory = sigma.map((level) => pointVariance(norm, level));
    found.forEach(({ floor }, i) => {
      expect(Math.abs(floor.value * 2 - theory[i]!)).toBeLessThan(4 * 2 * floor.error!);
    });
    const score = (values: readonly number[]): number[] => values.map((value, i) => value / sigma[i]! ** 4);
    const peak = (values: readonly number[]): number => values.indexOf(Math.max(...values));
    expect(peak(score(found.map(({ floor }) => floor.value)))).toBe(peak(score(theory)));
    two.dispose();
  });

  test("one image, and images that are all equal, have no variance", () => {
    for (const count of [1, 3]) {
      const same = ImageBank.fromBytes(
        "same",
        { channels: 1, height: 1, width: 2 },
        new Uint8Array(2 * count).fill(77),
      );
      const truth = new EmpiricalTruth(same, { seed: 0 });
      const curves = varianceCurves(truth, { levels: levelsAt(0.1, 10), references: [1, 16, "all"], samples: 5 });
      for (const { floor, stable, ratio, explainable } of curves) {
        expect([floor.value, explainable.value]).toEqual([0, 0]);
        expect(stable.map(({ value }) => value)).toEqual([0, 0, 0]);
        expect(ratio.map(({ value }) => value)).toEqual([1, 1, 1]);
      }
      same.dispose();
    }
  });

  test("floor and explainable variance add up to that of the data", () => {
    const truth = new EmpiricalTruth(square, { seed: 4 });
    for (const { floor, explainable } of varianceCurves(truth, {
      levels: levelsAt(0.2, 1, 4),
      references: [1],
      samples: 800,
    })) {
      const error = 4 * Math.hypot(floor.error!, explainable.error!);
      expect(Math.abs(floor.value + explainable.value - truth.variance)).toBeLessThan(error);
    }
  });

  test("a sample is seen with its most probable sources", () => {
    const truth = new EmpiricalTruth(square, { seed: 6 });
    const options = { sigma: Float64Array.of(0.01, 2), references: [1, 4, "all"] as const, denoisers: [], nearest: 3 };
    const [near, far] = posteriorViews(truth, 0, options);
    const own = scope(() => square.gather(Int32Array.of(truth.samples.sourceOf(0))).toTypedArray());
    expect(near!.nearest[0]).toMatchObject({ isSource: true });
    expect(near!.nearest[0]!.weight).toBeCloseTo(1, 9);
    for (const image of [near!.targets[0]!, near!.targets[2]!, far!.targets[0]!, near!.nearest[0]!.image]) {
      expect([...image]).toEqual([...(own as Uint8Array)]);
    }
    const weights = far!.nearest.map(({ weight }) => weight);
    expect(weights).toEqual([...weights].sort((a, b) => b - a));
  });
});

/** E tr Cov(y | x) for points at +mu and -mu, ||mu||² E sech²(a² + a z), by quadrature over the normal z. */
function pointVariance(norm: number, sigma: number): number {
  const a = norm / sigma;
  let total = 0;
  const step = 0.001;
  for (let z = -9; z < 9; z += step) {
    total += (Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)) * Math.cosh(a * a + a * z) ** -2 * step;
  }
  return norm ** 2 * total;
}

describe("a distribution in closed form as the truth", () => {
  test("the floor of a Gaussian is within 1 % of the closed form", () => {
    const deviation = 0.5;
    const gaussian = gaussianMixture("Gaussian", [{ weight: 1, mean: [0.3, -0.2, 0.1], deviation }]);
    const curves = varianceCurves(new KnownTruth(gaussian, 0), {
      levels: levelsAt(0.1, 0.5, 2),
      references: [1],
      samples: 50,
    });
    for (const { sigma, floor } of curves) {
      const exact = (sigma ** 2 * deviation ** 2) / (sigma ** 2 + deviation ** 2);
      expect(floor.value / exact).toBeCloseTo(1, 9);
    }
  });

  test("the floor of two points is within 1 % of the closed form", () => {
    const truth = new KnownTruth(twoGaussians({ dimension: 4, deviation: 0 }), 1);
    for (const { sigma, floor } of varianceCurves(truth, {
      levels: levelsAt(3, 8),
      references: [1],
      samples: 6000,
    })) {
      const exact = pointVariance(2, sigma) / 4;
      expect(floor.error! / exact).toBeLessThan(0.006);
      expect(Math.abs(floor.value / exact - 1)).toBeLessThan(0.01);
    }
  });

  test("many references leave 1 / n of the variance at high noise", () => {
    const truth = new KnownTruth(twoGaussians({ dimension: 3, deviation: 0.4 }), 2);
    const [level] = varianceCurves(truth, { levels: levelsAt(100), references: [1, 4, 16], samples: 500 });
    [1, 4, 16].forEach((n, k) => {
      const { value, error = 0 } = level!.ratio[k]!;
      expect(Math.abs(value - 1 / n)).toBeLessThanOrEqual(4 * error);
    });
  });

  test("the variance of n references is that of self-normalised averages by brute force", () => {
    const truth = new KnownTruth(twoGaussians({ dimension: 1, deviation: 0.3 }), 3);
    const [level] = varianceCurves(truth, { levels: levelsAt(0.6), references: [1, 3], samples: 1500 });
    const next = uniforms(8);
    const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
    const draw = (): number => (next() < 0.5 ? -1 : 1) + 0.3 * normal();
    const total = 0.3 ** 2 + 0.6 ** 2;
    const errors = Array.from({ length: 40_000 }, () => {
      const references = [draw(), draw(), draw()];
      const x = references[0]! + 0.6 * normal();
      const weights = references.map((r) => Math.exp(-((x - r) ** 2) / (2 * 0.36)));
      const target = sum(references.map((r, k) => r * weights[k]!)) / sum(weights);
      const side = 1 / (1 + Math.exp((-2 * x) / total));
      const nu = (mu: number): number => mu + (0.09 / total) * (x - mu);
      return (target - (side * nu(1) + (1 - side) * nu(-1))) ** 2;
    });
    const direct = meanAndError(errors);
    const { value, error = 0 } = level!.stable[1]!;
    expect(Math.abs(value - direct.mean)).toBeLessThan(4 * Math.hypot(error, direct.error));
  });

  test("the bound holds, and its divergence is that of the densities", () => {
    const truth = new KnownTruth(twoGaussians({ dimension: 1, deviation: 0.5 }), 5);
    const curves = varianceCurves(truth, { levels: levelsAt(0.5, 1, 4), references: [1, 2, 64], samples: 800 });
    for (const { stable, bound } of curves) {
      expect(bound[0]).toBeNull();
      for (const k of [1, 2]) expect(stable[k]!.value).toBeLessThan(bound[k]!);
    }
    // E_x E_{y | x} f(p(x) / p(x | y)) by quadrature over y and z.
    const density = (x: number, variance: number): number =>
      [-1, 1].reduce(
        (p, mu) => p + (0.5 * Math.exp(-((x - mu) ** 2) / (2 * variance))) / Math.sqrt(2 * Math.PI * variance),
        0,
      );
    const sigma = 1;
    let expected = 0;
    const step = 0.02;
    for (let y = -4; y <= 4; y += step) {
      for (let z = -6; z <= 6; z += step) {
        const own = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
        const ratio = density(y + sigma * z, 0.25 + sigma ** 2) / (own / sigma);
        const f = ratio < 1.5 ? (1 / ratio - 1) ** 2 : (8 * ratio) / 27 - 1 / 3;
        expected += density(y, 0.25) * own * f * step * step;
      }
    }
    const { value, error = 0 } = curves[1]!.divergence;
    expect(Math.abs(value - expected)).toBeLessThan(4 * error + 0.01);
  });

  test("a distribution has no last point", () => {
    const truth = new KnownTruth(twoGaussians(), 0);
    expect(() => truth.examine(0, Float64Array.of(1), ["all"])).toThrow("has no last item");
  });
});

describe("errors of the estimates", () => {
  test("shrink as 1 / sqrt(samples)", () => {
    const truth = new EmpiricalTruth(square, { seed: 8 });
    const errorsOf = (samples: number): number[] => {
      const [level] = varianceCurves(truth, { levels: levelsAt(0.7), references: [1, 3], samples });
      return [level!.floor.error!, level!.stable[1]!.error!, level!.explainable.error!];
    };
    const [few, many] = [errorsOf(100), errorsOf(1600)];
    few.forEach((error, i) => {
      expect(error / many[i]!).toBeGreaterThan(3);
      expect(error / many[i]!).toBeLessThan(5);
    });
  });

  test("are the scatter of the estimates over seeds", () => {
    const distribution = twoGaussians({ dimension: 2, deviation: 0.3 });
    const found = Array.from({ length: 60 }, (_, seed) => {
      const [level] = varianceCurves(new KnownTruth(distribution, seed), {
        levels: levelsAt(1),
        references: [1, 8],
        samples: 60,
      });
      return [level!.floor, level!.stable[1]!, level!.ratio[1]!];
    });
    for (const k of [0, 1, 2]) {
      const values = found.map((each) => each[k]!.value);
      const scatter = meanAndError(values).error * Math.sqrt(values.length);
      const claimed = Math.sqrt(sum(found.map((each) => each[k]!.error! ** 2)) / found.length);
      // The scatter of 60 values is known to 9 %.
      expect(claimed / scatter).toBeGreaterThan(0.7);
      expect(claimed / scatter).toBeLessThan(1.4);
    }
  });

  test("a control takes out what varies with it, and keeps the mean", () => {
    const next = uniforms(1);
    const control = Array.from({ length: 2000 }, () => next() - 0.5);
    const values = control.map((c) => 3 + 0.6 * c + 0.01 * (next() - 0.5));
    const after = meanAndError(controlled(values, control));
    expect(after.error).toBeLessThan(0.1 * meanAndError(values).error);
    expect(Math.abs(after.mean - 3)).toBeLessThan(4 * after.error);
    expect([...controlled([1, 2], [0, 0])]).toEqual([1, 2]);
    expect([...controlled([0, 0, 0], [1, -1, 2])]).toEqual([0, 0, 0]);
  });

  test("a ratio has the error of its residuals", () => {
    const { value, error = 0 } = ratioOf([2, 4, 6], [1, 2, 3]);
    expect([value, error]).toEqual([2, 0]);
    expect(ratioOf([0, 0], [0, 0]).value).toBe(1);
  });
});

describe("the divergence of the bound", () => {
  test("vanishes without a difference, and its function has no jump and no kink", () => {
    const at = (...rho: number[]): Float64Array =>
      scope(() => divergenceTerms(tensor(Float64Array.from(rho))).toFloat64Array());
    expect(at(1)[0]).toBe(0);
    expect(at(0)[0]).toBeCloseTo(8 / 27, 12);
    const [below, above] = at(2 / 3 - 1e-7, 2 / 3 + 1e-7);
    expect(below).toBeCloseTo(above!, 6);
    const [a, b, c, d] = at(2 / 3 - 2e-4, 2 / 3 - 1e-4, 2 / 3 + 1e-4, 2 / 3 + 2e-4);
    expect((b! - a!) / (d! - c!)).toBeCloseTo(1, 2);
  });

  test("the bound falls with the number of references", () => {
    const input = { variance: 0.2, divergence: 3, sigma: 2 };
    expect(varianceBound({ ...input, references: 3 })).toBeCloseTo((0.2 + 3 * 4) / 2, 12);
  });
});

describe("levels", () => {
  test("are equally spaced in ln sigma for edm, in time for processes with an end", () => {
    const edm = analysisLevels(edmPreconditioning(), { sigmaMin: 0.01, sigmaMax: 100 }, 5).map(({ sigma }) => sigma);
    edm.forEach((sigma, i) => void expect(sigma).toBeCloseTo(10 ** (i - 2), 9));
    const flow = flowPreconditioning();
    const range = { sigmaMin: flow.sigmaMin, sigmaMax: flow.sigmaMax };
    const levels = analysisLevels(flow, range, 11);
    levels.forEach(({ time, sigma, scale, lossWeight }, i) => {
      expect(time).toBeCloseTo(1e-4 + (i * (1 - 2e-4)) / 10, 9);
      expect(sigma).toBeCloseTo(time / (1 - time), 6);
      expect(scale).toBeCloseTo(1 - time, 9);
      expect(lossWeight * time ** 2).toBeCloseTo(1, 6);
    });
    const ve = analysisLevels(vePreconditioning(), { sigmaMin: 0.02, sigmaMax: 100 }, 3);
    expect(ve[1]!.sigma).toBeCloseTo(Math.sqrt(2), 6);
    expect(analysisLevels(edmPreconditioning(), { sigmaMin: 0.01, sigmaMax: 100 }, 1)[0]!.sigma).toBeCloseTo(1, 9);
  });

  test("the factors turn variances into those of score and loss", () => {
    const truth = new EmpiricalTruth(square, { seed: 0 });
    const levels = analysisLevels(flowPreconditioning(), { sigmaMin: 0.5, sigmaMax: 2 }, 2);
    const [first] = varianceCurves(truth, { levels, references: [1], samples: 3 });
    const { sigma, scale, factors } = first!;
    expect(factors.score).toBeCloseTo(1 / (scale * sigma ** 2) ** 2, 9);
    expect(factors.loss).toBeCloseTo(flowPreconditioning().lossWeight(sigma), 9);
  });
});

describe("phases and settings", () => {
  const level = (sigma: number, floor: number): LevelReport => ({
    ...{ sigma, time: sigma, scale: 1, stable: [], ratio: [], bound: [], divergence: { value: 0 } },
    factors: { score: 1 / sigma ** 4, loss: 1 },
    floor: { value: floor },
    explainable: { value: 1 - floor },
  });

  test("lie where the floor leaves zero, and where it reaches the variance of the data", () => {
    const levels = [level(0.5, 0), level(1, 0.005), level(2, 0.3), level(4, 0.8), level(8, 0.96), level(16, 0.99)];
    const { sourceUpTo, priorFrom, scorePeak, lossPeak, probabilities } = phasesOf(levels, 1, logNormalLevels(0, 1));
    expect([sourceUpTo, priorFrom, scorePeak, lossPeak]).toEqual([1, 8, 2, 16]);
    // P(ln sigma <= 0) and P(ln sigma < ln 8) of a standard normal.
    expect(Math.abs(probabilities[0] - 0.5)).toBeLessThan(0.015);
    expect(Math.abs(probabilities[2] - 0.0188)).toBeLessThan(0.004);
    expect(sum([...probabilities])).toBeCloseTo(1, 12);
  });

  test("settings scale with the data", () => {
    const next = uniforms(3);
    const values = Float64Array.from({ length: 600 * 8 }, () => next() - 0.5);
    const bankOf = (factor: number): VectorBank =>
      new VectorBank(
        "box",
        tensor(
          values.map((value) => factor * value),
          { shape: [600, 8] },
        ),
      );
    const [one, two] = [1, 2].map((factor) => {
      const vectors = bankOf(factor);
      const settings = suggestedLevels(dataMoments(vectors, 0));
      vectors.dispose();
      return settings;
    });
    expect(one!.sigmaData).toBeCloseTo(Math.sqrt(1 / 12), 2);
    expect(two!.sigmaData / one!.sigmaData).toBeCloseTo(2, 6);
    expect(two!.sigmaMax / one!.sigmaMax).toBeCloseTo(2, 1);
    expect(two!.pMean - one!.pMean).toBeCloseTo(Math.log(2), 1);
    // Eight independent values of variance 1/12: the sum of squared eigenvalues is 8 / 144.
    const vectors = bankOf(1);
    expect(dataMoments(vectors, 0).eigenvalueSquares / (8 / 144)).toBeCloseTo(1, 1);
    vectors.dispose();
  });

  test("the highest level leaves as little as it says", () => {
    const moments = { sigmaData: 0.5, meanSquare: 13, eigenvalueSquares: 60_000 };
    const { sigmaMax } = suggestedLevels(moments);
    const left = moments.meanSquare / (2 * sigmaMax ** 2) + moments.eigenvalueSquares / (4 * sigmaMax ** 4);
    expect(left / 0.005).toBeGreaterThan(0.85);
    expect(left / 0.005).toBeLessThan(1.15);
  });

  test("references are as many as bring the variance below the fraction", () => {
    const truth = new EmpiricalTruth(square, { seed: 0 });
    // (10 - n) / (9 n) is 4/9, 1/6 and 1/36 for n = 2, 4, 8.
    const at = (fraction: number) => neededReferences(truth, { sigma: 1e5, fraction, samples: 200 });
    expect([at(0.6), at(0.25), at(0.1), at(0.01)]).toEqual([2, 4, 8, "all"]);
    const known = new KnownTruth(twoGaussians({ dimension: 1, deviation: 0.5 }), 0);
    expect(neededReferences(known, { sigma: 50, fraction: 1e-6, samples: 2 })).toBeNull();
  });
});

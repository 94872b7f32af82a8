/** Excess and held-out loss during training: estimates against closed forms, and the time that they take. */

import { Module, memory, scope, type Tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { denoisingErrors, exactTargets } from "../src/analysis/denoising-error.js";
import { toyBank } from "../src/data/distribution.js";
import { gaussianMixture } from "../src/data/mixture.js";
import { DataOrder } from "../src/data/order.js";
import { VectorBank } from "../src/data/vector-bank.js";
import { formatProgress } from "../src/jobs/training-report.js";
import { Denoiser } from "../src/networks/denoiser.js";
import type { Network } from "../src/networks/network.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { flowPreconditioning } from "../src/preconditioning/flow.js";
import { preconditioningNames, preconditionings } from "../src/preconditioning/table.js";
import { vePreconditioning } from "../src/preconditioning/ve.js";
import { logNormalLevels } from "../src/processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { type ErrorStatistics, noiseBands, type Statistic } from "../src/run/statistics.js";
import { denoisingTarget } from "../src/targets/denoising.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import { ErrorMeasurement } from "../src/training/error-measurement.js";
import { weightedError } from "../src/training/loss.js";
import { MeasurementBudget } from "../src/training/measurement-budget.js";
import { noiseStrata, stratifiedLevel, stratifiedStatistics } from "../src/training/noise-strata.js";
import { perturb } from "../src/training/perturb.js";
import { stepTargets } from "../src/training/step-targets.js";
import { meanAndError } from "./support.js";

const stream = (seed: number): KeyedRandom => new KeyedRandom(randomKey(seed, "noiseLevel"));

/** P(sigma < x) of ln sigma ~ N(-1.2, 1.2²), at the ends of the bands (tables of the normal distribution). */
const EDM = [0.1792, 0.48403, 0.28005, 0.05444, 0.00228];

describe("noise strata", () => {
  test("have the probabilities of the distribution", () => {
    const strata = noiseStrata(logNormalLevels(-1.2, 1.2), stream(1));
    strata.forEach(({ band, probability, levels }, i) => {
      const { name, from, to } = noiseBands[i]!;
      expect(band).toBe(name);
      expect(Math.abs(probability - EDM[i]!)).toBeLessThan(4 * Math.sqrt(EDM[i]! / 2 ** 14));
      expect(levels[0]).toBeGreaterThanOrEqual(from);
      expect(levels.at(-1)).toBeLessThan(to);
    });
    expect(strata.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
  });

  test.each(preconditioningNames)("of %s cover its levels", (name) => {
    const { noiseLevels } = preconditionings[name]();
    const strata = noiseStrata(noiseLevels, stream(2));
    expect(strata.length).toBeGreaterThanOrEqual(4);
    expect(strata.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
  });

  test("with bands in which no level lies leave those out", () => {
    expect(noiseStrata(() => 3, stream(3))).toMatchObject([{ band: "2-10", probability: 1 }]);
  });

  test("are sampled in turn, evenly within each, however many samples there are", () => {
    const strata = noiseStrata(vePreconditioning().noiseLevels, stream(4));
    for (const rounds of [4, 10, 64]) {
      strata.forEach(({ levels }, b) => {
        const places = Array.from({ length: rounds }, (_, r) => {
          const place = levels.indexOf(stratifiedLevel(strata, r * strata.length + b));
          expect(place).toBeGreaterThanOrEqual(0);
          return place / levels.length;
        }).sort((left, right) => left - right);
        // The discrepancy of the golden ratio's multiples.
        places.forEach((place, r) => {
          expect(Math.abs(place - (r + 0.5) / rounds)).toBeLessThan(1.6 / rounds);
        });
      });
    }
  });

  test("give the mean over the distribution, with an error that says how far it is off", () => {
    const strata = noiseStrata(flowPreconditioning().noiseLevels, stream(5));
    const deviations = Array.from({ length: 300 }, (_, seed) => {
      const random = stream(100 + seed);
      // The value of a sample is its band's number, with noise.
      const values = Float64Array.from({ length: 8 * strata.length }, (_, k) => (k % strata.length) + random.normal());
      const { all, bands } = stratifiedStatistics(strata, values);
      const wanted = strata.reduce((sum, { probability }, b) => sum + b * probability, 0);
      expect(all.num).toBe(values.length);
      expect([...bands.values()].every(({ num }) => num === 8)).toBe(true);
      return { offset: all.mean - wanted, error: all.std / Math.sqrt(all.num) };
    });
    const { mean, error } = meanAndError(deviations.map(({ offset }) => offset));
    expect(Math.abs(mean)).toBeLessThan(4 * error);
    const ratio = meanAndError(deviations.map((d) => (d.offset / d.error) ** 2));
    // Variances divided by 8, not 7, make it 8 / 7 and some more.
    expect(ratio.mean).toBeGreaterThan(0.9);
    expect(ratio.mean).toBeLessThan(1.8);
  });
});

describe("the budget", () => {
  /** A training with equal ticks on a machine with constant costs: the rounds of each tick, and the share of the time so far. */
  function simulate(
    { ticks, seconds }: { ticks: number; seconds: number },
    costs: { evaluation: number; preparation: number },
    most = 256,
  ): { rounds: number; share: number }[] {
    const budget = new MeasurementBudget({ most, preparation: costs.preparation });
    let [elapsed, spent, known] = [0, 0, 0];
    return Array.from({ length: ticks }, () => {
      elapsed += seconds;
      const rounds = budget.roundsFor({ images: 1000, seconds, elapsed }, costs.evaluation);
      if (rounds > 0) {
        const preparation = Math.max(rounds - known, 0) * costs.preparation;
        const cost = { rounds, evaluation: rounds * costs.evaluation, preparation };
        budget.spend(cost);
        known = Math.max(known, rounds);
        spent += cost.evaluation + preparation;
      }
      return { rounds, share: spent / elapsed };
    });
  }

  test("stays within 2 %, and comes to measure every tick with the same samples", () => {
    const found = simulate({ ticks: 40, seconds: 10 }, { evaluation: 0.01, preparation: 0.05 });
    expect(Math.max(...found.map(({ share }) => share))).toBeLessThanOrEqual(0.02 + 1e-12);
    const rounds = found.map((tick) => tick.rounds);
    expect(rounds[0]).toBe(2);
    expect(new Set(rounds.slice(20))).toEqual(new Set([16]));
    expect(found.at(-1)!.share).toBeGreaterThan(0.01);
  });

  test("measures some ticks where a tick cannot pay for a round", () => {
    const rounds = simulate({ ticks: 400, seconds: 1 }, { evaluation: 0.1, preparation: 0.4 });
    expect(Math.max(...rounds.map(({ share }) => share))).toBeLessThanOrEqual(0.02 + 1e-12);
    const measured = rounds.flatMap(({ rounds: some }, tick) => (some > 0 ? [tick] : []));
    expect(rounds.every(({ rounds: some }) => some <= 1)).toBe(true);
    expect(measured[0]).toBe(24);
    // Every 5 ticks the time for one comes together; sums of hundredths may be off by a rounding.
    expect(measured.slice(1).every((tick, i) => Math.abs(tick - measured[i]! - 5) <= 1)).toBe(true);
    expect(Math.abs(measured.length - (1 + (400 - 25) / 5))).toBeLessThanOrEqual(1);
  });

  test("stops growing at the most it may have", () => {
    const found = simulate({ ticks: 20, seconds: 100 }, { evaluation: 1e-4, preparation: 1e-4 }, 100);
    expect(found.every(({ rounds }) => rounds === 64)).toBe(true);
  });

  test("learns what a round costs", () => {
    const budget = new MeasurementBudget({ most: 256, preparation: 0 });
    expect(budget.roundsFor({ images: 1, seconds: 10, elapsed: 10 }, 0.1)).toBe(2);
    budget.spend({ rounds: 2, evaluation: 2, preparation: 0 });
    // 1 second a round: the 2 seconds are paid for after 100, and the next 2 after 200.
    expect(budget.roundsFor({ images: 1, seconds: 10, elapsed: 199 }, 0.1)).toBe(0);
    expect(budget.roundsFor({ images: 1, seconds: 10, elapsed: 200 }, 0.1)).toBe(2);
  });
});

/** F = 0, so that D(x; sigma) = skip x. */
class Nothing extends Module implements Network {
  readonly shape = { channels: 1, height: 1, width: 1 };
  readonly labelDim: number;

  constructor(labelDim = 0) {
    super();
    this.labelDim = labelDim;
  }

  forward(x: Tensor): Tensor {
    return x.mul(0);
  }
}

const v = 0.36;
const gaussian = gaussianMixture("Gaussian", [{ weight: 1, mean: new Array<number>(8).fill(0), deviation: 0.6 }]);

/** D(x; sigma) = factor v / (v + sigma²) x: the exact denoiser of a Gaussian, times a factor. */
function denoiserOf(factor: number, labelDim = 0): Denoiser {
  const coefficients = (sigma: number) => ({ skip: (factor * v) / (v + sigma ** 2), out: 1, in: 1, noise: 0 });
  return new Denoiser(new Nothing(labelDim), { ...edmPreconditioning(), coefficients }).eval();
}

/** Ticks that are long enough for everything. */
const AMPLE = { images: 1e12, seconds: 1e9, elapsed: 1e9 };
const { noiseLevels, lossWeight } = edmPreconditioning();

describe("the loss on a bank of 300 vectors", () => {
  const bank = toyBank(gaussian, 300, 1);
  afterAll(() => bank.dispose());
  const denoiser = denoiserOf(0.7);

  /** Samples of training: their loss, and what the excess and the variance of the targets contribute to it. */
  function trainingOn(references: number) {
    const target = references === 1 ? denoisingTarget : stableFieldTarget();
    const parts = Array.from({ length: 40 }, (_, step) =>
      scope(() => {
        const numbers = Array.from({ length: 100 }, (_none, i) => 100 * step + i);
        const indices = new DataOrder(bank.count, 1).range(100 * step, 100);
        const samples = perturb(numbers, indices, bank, { seed: 1, noiseLevels });
        using targets = stepTargets(bank, { seed: 1, target, references }, 100 * step, indices);
        const wanted = targets.targetsOf(samples, 0);
        const exact = exactTargets(bank, samples);
        const weighted = (values: Float64Array) => values.map((value, i) => lossWeight(samples.sigma[i]!) * value);
        return {
          loss: weightedError(denoiser, samples, wanted).flatten(1).double().mean(1).toFloat64Array(),
          excess: weighted(denoisingErrors(denoiser, samples, exact).excess!),
          scatter: weighted(wanted.sub(exact).flatten(1).double().square().mean(1).toFloat64Array()),
        };
      }),
    );
    const all = (name: "loss" | "excess" | "scatter"): number[] => parts.flatMap((part) => [...part[name]]);
    return { loss: all("loss"), excess: all("excess"), scatter: all("scatter") };
  }
  const runs = [1, 16, 300].map(trainingOn);

  test("is the excess plus the variance of the targets, whatever their references", () => {
    for (const { loss, excess, scatter } of runs) {
      const { mean, error } = meanAndError(loss.map((value, i) => value - excess[i]! - scatter[i]!));
      expect(Math.abs(mean)).toBeLessThan(4 * error + 1e-7);
    }
  });

  test("has the same excess for every number of references, though the loss is less with more of them", () => {
    const [denoising, few, whole] = runs as [(typeof runs)[0], (typeof runs)[0], (typeof runs)[0]];
    expect(few.excess).toEqual(denoising.excess);
    expect(whole.excess).toEqual(denoising.excess);
    const [first = 0, second = 0, third = 0] = runs.map(({ scatter }) => meanAndError(scatter).mean);
    expect(second).toBeLessThan(0.9 * first);
    expect(third).toBeLessThan(1e-9);
    expect(meanAndError(whole.loss).mean / meanAndError(whole.excess).mean).toBeCloseTo(1, 5);
  });
});

describe("the measured errors", () => {
  // Of 8 values, a sample of 6,000 vectors is not the Gaussian at small noise: there the posterior is a few of them.
  const bank = toyBank(gaussian, 6000, 1);
  const others = toyBank(gaussian, 500, 2);
  afterAll(() => {
    bank.dispose();
    others.dispose();
  });

  function measured(factor: number, options: { heldOut?: VectorBank; batch?: number } = {}) {
    let seconds = 0;
    using errors = new ErrorMeasurement(bank, { noiseLevels, batch: 100, now: () => seconds++, ...options });
    return errors.measure(denoiserOf(factor), AMPLE);
  }

  test("are those of the closed form at noise that hides single images", () => {
    const statistics = measured(0.7);
    const strata = noiseStrata(noiseLevels, new KeyedRandom(randomKey(0, "noiseLevel", 2 ** 40)));
    for (const band of ["0.5-2", "2-10"] as const) {
      const { mean, std, num } = statistics[`Loss/excess/${band}`]!;
      expect(num).toBe(256);
      const { levels } = strata.find((stratum) => stratum.band === band)!;
      const excess = (sigma: number): number => (lossWeight(sigma) * (0.3 ** 2 * v ** 2)) / (v + sigma ** 2);
      const wanted = levels.reduce((sum, level) => sum + excess(level), 0) / levels.length;
      // The bank's own posterior differs a little from the Gaussian's.
      expect(Math.abs(mean - wanted), band).toBeLessThan(4 * (std / Math.sqrt(num)) + 0.03 * wanted);
    }
    expect(statistics["Loss/excess"]!.num).toBe(5 * 256);
    expect(statistics["Loss/held_out"]).toBeUndefined();
  });

  test("do not depend on the batch, and leave nothing behind", () => {
    const { tensors } = memory();
    const plain = measured(0.7);
    const other = measured(0.7, { batch: 7 });
    for (const [name, { mean }] of Object.entries(plain as Record<string, Statistic>)) {
      expect(Math.abs(Reflect.get(other, name).mean / mean - 1), name).toBeLessThan(1e-5);
    }
    expect(memory().tensors).toBe(tensors);
  });

  test("compare unseen images with seen ones at the same noise", () => {
    const statistics = measured(1, { heldOut: others });
    const [seen, unseen, gap] = (["Loss/seen", "Loss/held_out", "Loss/gap"] as const).map((name) => statistics[name]!);
    expect(gap!.mean).toBeCloseTo(unseen!.mean - seen!.mean, 10);
    // A Gaussian's denoiser knows no image, so there is no gap but chance. Pairs share noise, which makes the gap's error smaller.
    expect(Math.abs(gap!.mean)).toBeLessThan((4 * gap!.std) / Math.sqrt(gap!.num));
    expect(gap!.std ** 2).toBeLessThan(seen!.std ** 2 + unseen!.std ** 2);
    expect(statistics["Loss/held_out/0.5-2"]!.num).toBe(256);
  });

  test("of images that were memorised have a gap", () => {
    let seconds = 0;
    const few = toyBank(gaussian, 3, 7);
    const options = { noiseLevels: () => 0.3, batch: 100, now: () => seconds++, heldOut: others };
    using errors = new ErrorMeasurement(few, options);
    // D = 0 has no error on images of zeros, and v on others.
    const zeros = new VectorBank("zeros", few.values.mul(0));
    using blank = new ErrorMeasurement(zeros, options);
    expect(errors.measure(denoiserOf(0), AMPLE)["Loss/excess"]!.mean).toBeGreaterThan(0.1);
    const statistics = blank.measure(denoiserOf(0), AMPLE);
    expect(statistics["Loss/excess"]!.mean).toBe(0);
    expect(statistics["Loss/seen"]!.mean).toBe(0);
    const { mean, std, num } = statistics["Loss/gap"]!;
    expect(Math.abs(mean - lossWeight(0.3) * v)).toBeLessThan((4 * std) / Math.sqrt(num) + 0.05);
    few.dispose();
    zeros.dispose();
  });

  test("with classes are against the posterior of the class", () => {
    // Every vector is a class of its own, whose exact denoiser is that vector: all loss is excess.
    const values = toyBank(gaussian, 20, 3);
    const labels = Int32Array.from({ length: 20 }, (_, i) => i);
    const labelled = new VectorBank("classes", values.values.clone(), { labels });
    const errorsOf = (labelDim: number): Partial<ErrorStatistics> => {
      let seconds = 0;
      const options = { noiseLevels: () => 5, batch: 100, now: () => seconds++, heldOut: labelled };
      using errors = new ErrorMeasurement(labelled, options);
      return errors.measure(denoiserOf(1, labelDim), AMPLE);
    };
    const [joint, byClass] = [errorsOf(0), errorsOf(20)];
    expect(byClass["Loss/excess"]!.mean).toBeCloseTo(byClass["Loss/seen"]!.mean, 6);
    expect(joint["Loss/excess"]!.mean).toBeLessThan(0.5 * joint["Loss/seen"]!.mean);
    values.dispose();
    labelled.dispose();
  });

  test("that are not finite are left out", () => {
    expect(measured(Number.POSITIVE_INFINITY)).toEqual({});
  });

  test("are abandoned when the training is to stop", () => {
    let [asked, seconds] = [0, 0];
    const options = { noiseLevels, batch: 100, now: () => seconds++, shouldStop: () => ++asked > 3 };
    const { tensors } = memory();
    {
      using errors = new ErrorMeasurement(bank, options);
      expect(errors.measure(denoiserOf(1), AMPLE)).toEqual({});
    }
    expect(asked).toBe(4);
    expect(memory().tensors).toBe(tensors);
  });

  test("are left out when there is no time for them", () => {
    using errors = new ErrorMeasurement(bank, { noiseLevels, batch: 100, now: () => 0 });
    expect(errors.measure(denoiserOf(1), { images: 1, seconds: 0.001, elapsed: 0.001 })).toEqual({});
  });
});

test("the status line has the errors once they are known", () => {
  const progress = {
    images: 12_800,
    totalImages: 1e6,
    loss: 0.21131,
    lowestLoss: 0.2,
    imagesPerSecond: 152,
    steps: 9,
    skipped: 0,
  };
  const times = { elapsed: 84, remaining: 250 };
  expect(formatProgress({ ...progress, ...times })).toBe(
    "   12.8 kimg  loss 0.2113  152.0 images/s  1m 24s elapsed, 4m 10s left",
  );
  expect(formatProgress({ ...progress, ...times, excess: 0.04123, heldOut: 0.22 })).toBe(
    "   12.8 kimg  loss 0.2113  excess 0.0412  held out 0.2200  152.0 images/s  1m 24s elapsed, 4m 10s left",
  );
});

/**
 * What the loss of a run means: the excess loss of the averaged weights, and the loss on held-out images, measured during training
 * on a fixed sequence of samples.
 *
 * At every tick the same images, noise and noise levels are used, whatever the seed of the run: differences from tick to tick, and
 * between runs on the same images, are then differences of the weights. Nothing is fitted to these samples. They are not those of
 * training, their exact targets are computed once, and measuring changes neither weights nor random numbers. Images are not augmented,
 * because none are when images are drawn, and the exact denoiser is known then.
 */

import { cat, keep, scope, type Tensor } from "@stf/torch";
import { denoisingErrors, exactTargets } from "../analysis/denoising-error.js";
import type { Bank } from "../data/bank.js";
import { DataOrder } from "../data/order.js";
import type { Denoiser } from "../networks/denoiser.js";
import { PASSES_PER_STEP } from "../networks/flops.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { ErrorStatistics, Statistic } from "../run/statistics.js";
import type { PerturbedBatch } from "../targets/target.js";
import { MeasurementBudget, type TickTime } from "./measurement-budget.js";
import { type NoiseStratum, noiseStrata, stratifiedLevel, stratifiedStatistics } from "./noise-strata.js";
import { perturb } from "./perturb.js";
import type { TrainingData } from "./step.js";

/** The same for all runs. */
const SEED = 0;
/** Number of the first sample: training never gets that far, so its random numbers are others. */
const FIRST = 2 ** 40;
/** Values of exact targets that are kept. */
const MOST_VALUES = 2 ** 24;
/** Samples per band at most. */
const MOST_ROUNDS = 256;
/** Values of references that are compared with a sample in a second: a low guess, until it has been measured. */
const VALUES_PER_SECOND = 1e9;

/** Options of {@link ErrorMeasurement}. */
export interface ErrorMeasurementOptions {
  /** The distribution of the training noise levels. */
  readonly noiseLevels: NoiseLevels;
  /** Samples per evaluation of the network. */
  readonly batch: number;
  /** Images of the same shape and classes that are not trained on; none when left out. */
  readonly heldOut?: Bank | undefined;
  /** Seconds, on a clock that only goes forward. */
  now(): number;
  /** Called between evaluations; true abandons a measurement. */
  shouldStop?(): boolean;
}

/** Images, all of them in this process, in the order of the measurement. */
interface MeasuredData extends TrainingData {
  readonly bank: Bank;
}

/** Measures a run's errors within its share of the time. */
export class ErrorMeasurement implements Disposable {
  readonly #training: MeasuredData;
  readonly #heldOut: MeasuredData | undefined;
  readonly #options: ErrorMeasurementOptions;
  readonly #strata: readonly NoiseStratum[];
  readonly #budget: MeasurementBudget;
  /** D* of the first samples, `[n, C, H, W]`. */
  #exact: Tensor | undefined;

  /** @param bank - the training images */
  constructor(bank: Bank, options: ErrorMeasurementOptions) {
    const dataOf = (images: Bank): MeasuredData => ({ bank: images, order: new DataOrder(images.count, SEED) });
    this.#training = dataOf(bank);
    this.#heldOut = options.heldOut && dataOf(options.heldOut);
    this.#options = options;
    this.#strata = noiseStrata(options.noiseLevels, new KeyedRandom(randomKey(SEED, "noiseLevel", FIRST)));
    const samples = this.#strata.length;
    this.#budget = new MeasurementBudget({
      most: Math.max(1, Math.min(MOST_ROUNDS, Math.floor(MOST_VALUES / (samples * bank.dimension)))),
      preparation: (samples * bank.count * bank.dimension) / VALUES_PER_SECOND,
    });
  }

  /**
   * Measures as much as the time of the tick allows.
   *
   * @param averaged - the averaged network
   * @returns nothing, if there is no time for it or the training is to stop
   */
  measure(averaged: Denoiser, time: TickTime): Partial<ErrorStatistics> {
    const { now, heldOut } = this.#options;
    const perRound = this.#strata.length * (heldOut ? 2 : 1);
    const rounds = this.#budget.roundsFor(
      time,
      (perRound * time.seconds) / (PASSES_PER_STEP * Math.max(time.images, 1)),
    );
    if (rounds === 0) return {};
    const start = now();
    const count = rounds * this.#strata.length;
    const exact = this.#exactTargets(count, averaged.labelDim > 0);
    const prepared = now();
    const statistics = exact && this.#evaluate(averaged, exact, count);
    if (!statistics) return {};
    this.#budget.spend({ rounds, preparation: prepared - start, evaluation: now() - prepared });
    return statistics;
  }

  /** Samples of the sequence from number `begin` to before `end`, made from some images. */
  #samples({ bank, order }: MeasuredData, begin: number, end: number): PerturbedBatch {
    const numbers = Array.from({ length: end - begin }, (_, i) => FIRST + begin + i);
    const settings = { seed: SEED, noiseLevels: this.#options.noiseLevels };
    const drawn = perturb(numbers, order.range(FIRST + begin, end - begin), bank, settings);
    return { ...drawn, sigma: Float64Array.from(numbers, (_, i) => stratifiedLevel(this.#strata, begin + i)) };
  }

  /** Results for the samples from number `begin` to before `end`, batch by batch; undefined if the training is to stop. */
  #inBatches<T>(begin: number, end: number, work: (begin: number, end: number) => T): T[] | undefined {
    const { batch, shouldStop } = this.#options;
    const results: T[] = [];
    for (let first = begin; first < end; first += batch) {
      if (first > begin && shouldStop?.()) return undefined;
      results.push(work(first, Math.min(first + batch, end)));
    }
    return results;
  }

  /** D* of the first `count` samples, or of more; undefined if the training is to stop. */
  #exactTargets(count: number, sameClass: boolean): Tensor | undefined {
    const known = this.#exact;
    const begin = known?.size(0) ?? 0;
    if (begin >= count) return known;
    scope(() => {
      const parts = this.#inBatches(begin, count, (first, end) =>
        scope(() => exactTargets(this.#training.bank, this.#samples(this.#training, first, end), { sameClass })),
      );
      if (!parts) return;
      this.#exact = keep(cat(known ? [known, ...parts] : parts));
      known?.dispose();
    });
    return this.#exact === known ? undefined : this.#exact;
  }

  /** Statistics of the first `count` samples; undefined if the training is to stop. */
  #evaluate(averaged: Denoiser, exact: Tensor, count: number): Partial<ErrorStatistics> | undefined {
    const heldOut = this.#heldOut;
    const { preconditioning } = averaged;
    const weighted = (errors: Float64Array, sigma: Float64Array): number[] =>
      Array.from(errors, (error, i) => preconditioning.lossWeight(sigma[i] as number) * error);
    const parts = this.#inBatches(0, count, (begin, end) =>
      scope(() => {
        const samples = this.#samples(this.#training, begin, end);
        const { sigma } = samples;
        const { loss, excess } = denoisingErrors(averaged, samples, exact.narrow(0, begin, end - begin));
        const unseen = heldOut && denoisingErrors(averaged, this.#samples(heldOut, begin, end)).loss;
        return {
          excess: weighted(excess as Float64Array, sigma),
          seen: weighted(loss, sigma),
          unseen: unseen ? weighted(unseen, sigma) : [],
        };
      }),
    );
    if (!parts) return undefined;
    const all = (name: "excess" | "seen" | "unseen"): number[] => parts.flatMap((part) => part[name]);
    const [seen, unseen] = [all("seen"), all("unseen")];
    const gap = unseen.map((loss, k) => loss - (seen[k] as number));
    return finite([
      ...this.#banded("Loss/excess", all("excess")),
      ...(heldOut ? [...this.#banded("Loss/seen", seen), ...this.#banded("Loss/held_out", unseen)] : []),
      ...(heldOut ? [["Loss/gap", stratifiedStatistics(this.#strata, gap).all] as const] : []),
    ]);
  }

  #banded(name: string, values: readonly number[]): Named[] {
    const { all, bands } = stratifiedStatistics(this.#strata, values);
    return [[name, all], ...Array.from(bands, ([band, statistic]): Named => [`${name}/${band}`, statistic])];
  }

  /** Frees the exact targets. */
  [Symbol.dispose](): void {
    this.#exact?.dispose();
    this.#exact = undefined;
  }
}

/** A statistic with its name. */
type Named = readonly [name: string, statistic: Statistic];

/** Without numbers that a file of JSON cannot hold: those of weights that diverge. */
function finite(statistics: readonly Named[]): Partial<ErrorStatistics> {
  return Object.fromEntries(
    statistics.filter(([, { mean, std }]) => Number.isFinite(mean) && Number.isFinite(std)),
  ) as Partial<ErrorStatistics>;
}

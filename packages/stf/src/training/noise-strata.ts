/** The distribution of the training noise levels, cut into bands of which each gets as many samples as any other. */

import type { NoiseLevels } from "../processes/noise-levels.js";
import type { KeyedRandom } from "../random/keyed.js";
import { noiseBands, type Statistic } from "../run/statistics.js";

/** The noise levels of training within one band. */
export interface NoiseStratum {
  /** Name of the band. */
  readonly band: string;
  /** The probability that a level of training is in this band. */
  readonly probability: number;
  /** Draws of such levels, in ascending order. */
  readonly levels: Float64Array;
}

/** Levels by which the distribution is known: rare bands get a few dozen of them. */
const DRAWS = 2 ** 14;

/** The bands in which the levels of training lie. */
export function noiseStrata(noiseLevels: NoiseLevels, random: KeyedRandom): NoiseStratum[] {
  const draws = Float64Array.from({ length: DRAWS }, () => noiseLevels(random)).sort();
  return noiseBands
    .map(({ name, from, to }) => {
      const levels = draws.filter((level) => level >= from && level < to);
      return { band: name, probability: levels.length / DRAWS, levels };
    })
    .filter(({ probability }) => probability > 0);
}

/** The fractional parts of its multiples fill [0, 1) evenly, however many there are. */
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** The noise level of sample number `k` of an endless sequence that takes the bands in turn, and any of which begins evenly spread. */
export function stratifiedLevel(strata: readonly NoiseStratum[], k: number): number {
  const { levels } = strata[k % strata.length] as NoiseStratum;
  const place = (0.5 + GOLDEN * Math.floor(k / strata.length)) % 1;
  return levels[Math.floor(place * levels.length)] as number;
}

/** Mean, variance of one value, and number. */
function moments(values: readonly number[]): { mean: number; variance: number; num: number } {
  const num = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / num;
  return { mean, variance: values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / num, num };
}

/** The statistics of a quantity over all levels of training, and band by band. */
export interface StratifiedStatistics {
  readonly all: Statistic;
  /** By name of the band. */
  readonly bands: ReadonlyMap<string, Statistic>;
}

/**
 * Statistics of the values of the first samples of {@link stratifiedLevel}, whole rounds of them. The mean over all levels is
 * sum_b p_b m_b, with p the probabilities of the bands and m their means; its error is that of the stratified estimate.
 */
export function stratifiedStatistics(strata: readonly NoiseStratum[], values: ArrayLike<number>): StratifiedStatistics {
  const list = Array.from(values);
  const each = strata.map(({ band, probability }, b) => {
    const own = moments(list.filter((_, k) => k % strata.length === b));
    return { band, probability, ...own };
  });
  const mean = each.reduce((sum, { probability, mean: own }) => sum + probability * own, 0);
  const errors = each.reduce((sum, { probability, variance, num }) => sum + (probability ** 2 * variance) / num, 0);
  return {
    all: { num: list.length, mean, std: Math.sqrt(errors * list.length) },
    bands: new Map(
      each.map(({ band, num, mean: own, variance }) => [band, { num, mean: own, std: Math.sqrt(variance) }]),
    ),
  };
}

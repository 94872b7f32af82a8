import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { LevelReport, Phases } from "../run/variance-report.js";

/** Up to this fraction of the data's variance an exact denoiser knows the source. */
const KNOWN = 0.01;
/** Up to this fraction of the data's variance an exact denoiser explains next to nothing. */
const UNKNOWN = 0.05;

/**
 * Where the posterior changes its nature (Xu et al. 2023, section 3). First it is the source alone: the floor is below 1 % of the data's
 * variance. Last it is close to the prior: an exact denoiser explains less than 5 % of that variance. In between several images could be
 * the source.
 *
 * @param levels - in ascending order of the noise level
 * @param variance - of the data, per value
 * @param noiseLevels - their distribution in training
 */
export function phasesOf(levels: readonly LevelReport[], variance: number, noiseLevels: NoiseLevels): Phases {
  const known = levels.findIndex(({ floor }) => floor.value > KNOWN * variance);
  const unknown = levels.findLastIndex(({ explainable }) => explainable.value > UNKNOWN * variance);
  const lastKnown = known < 0 ? levels.at(-1) : levels[known - 1];
  // Of a smooth density the posterior is never a single point, and the variance of the score rises without limit as sigma falls.
  const varying = known < 0 ? levels : levels.slice(known);
  const sourceUpTo = variance > 0 ? (lastKnown?.sigma ?? null) : null;
  const priorFrom = variance > 0 ? (levels[unknown + 1]?.sigma ?? null) : null;
  return {
    sourceUpTo,
    priorFrom,
    probabilities: probabilitiesOf(noiseLevels, sourceUpTo ?? 0, priorFrom ?? Number.POSITIVE_INFINITY),
    scorePeak: peakOf(varying, ({ floor, factors }) => floor.value * factors.score),
    lossPeak: peakOf(varying, ({ floor, factors }) => floor.value * factors.loss),
  };
}

const DRAWS = 20_000;

function probabilitiesOf(noiseLevels: NoiseLevels, low: number, high: number): [number, number, number] {
  const random = new KeyedRandom(randomKey(0, "noiseLevel"));
  const counts: [number, number, number] = [0, 0, 0];
  for (let draw = 0; draw < DRAWS; draw++) {
    const sigma = noiseLevels(random);
    if (sigma <= low) counts[0]++;
    else if (sigma < high) counts[1]++;
    else counts[2]++;
  }
  return [counts[0] / DRAWS, counts[1] / DRAWS, counts[2] / DRAWS];
}

function peakOf(levels: readonly LevelReport[], value: (level: LevelReport) => number): number {
  const heights = levels.map(value);
  return levels[heights.indexOf(Math.max(...heights))]?.sigma ?? Number.NaN;
}

/** Settings of training that suit a data set. */

import { meanOf } from "../metrics/estimate.js";
import { publishedLevels } from "../preconditioning/constants.js";
import type { ReferenceCount, SuggestedSettings } from "../run/variance-report.js";
import type { SampleOptions } from "./sample-ranks.js";
import { examineSamples, type Truth } from "./truth.js";
import type { DataMoments } from "./value-moments.js";

/** What EDM's distribution of noise levels was chosen for: images in [-1, 1] with this standard deviation (Karras et al. 2022). */
const USUAL_DATA = 0.5;

/** What noisy images at the highest level may differ from noise alone, in nats: less than 5 % of them could be told apart. */
const REMAINDER = 0.005;

/** Two grey levels differ by 2/255; a quarter of that cannot be seen, and is EDM's lowest level. */
const LOWEST = 0.002;

/**
 * The noise level at which y + sigma eps and sigma eps are nearly the same distribution: their divergence is REMAINDER nats. For a
 * Gaussian y with mean m and covariance of eigenvalues l_i it is ||m||² / (2 sigma²) + sum_i l_i² / (4 sigma⁴) to leading order.
 */
function highestLevel({ meanSquare, eigenvalueSquares }: DataMoments): number {
  // REMAINDER s² - meanSquare / 2 s - eigenvalueSquares / 4 = 0 for s = sigma².
  const half = meanSquare / 4;
  return Math.sqrt((half + Math.sqrt(half ** 2 + (REMAINDER * eigenvalueSquares) / 4)) / REMAINDER);
}

const rounded = (value: number): number => Number(value.toPrecision(2));

/**
 * Noise levels that suit data. Everything scales with the data: if its values were doubled, so would be the noise levels; hence EDM's
 * distribution of ln sigma is shifted by ln(sigma_data / 0.5).
 */
export function suggestedLevels(
  moments: DataMoments,
): Pick<SuggestedSettings, "sigmaData" | "sigmaMin" | "sigmaMax" | "pMean" | "pStd"> {
  const { sigmaData } = moments;
  const factor = sigmaData > 0 ? sigmaData / USUAL_DATA : 1;
  return {
    sigmaData,
    sigmaMin: LOWEST,
    sigmaMax: Math.max(rounded(highestLevel(moments)), 10 * LOWEST),
    pMean: Number((publishedLevels.pMean + Math.log(factor)).toFixed(2)),
    pStd: publishedLevels.pStd,
  };
}

/** Input of {@link neededReferences}. */
export interface NeededOptions extends SampleOptions {
  /** The noise level. */
  readonly sigma: number;
  /** The wanted fraction V_STF(n) / V_DSM, between 0 and 1. */
  readonly fraction: number;
}

/** A distribution in closed form has no end: so many references of few values each are tried, and so many values in all. */
const MOST_REFERENCES = 2 ** 14;
const MOST_VALUES = 2 ** 20;

/**
 * The least power of two of references that brings the variance at a noise level below a fraction of V_DSM; of a distribution in closed
 * form, null if 8192 do not, or fewer of more than 64 values each.
 */
export function neededReferences(truth: Truth, { sigma, fraction, ...options }: NeededOptions): ReferenceCount | null {
  const most = truth.count ?? Math.min(MOST_REFERENCES, Math.floor(MOST_VALUES / truth.dimension));
  const counts = Array.from({ length: Math.ceil(Math.log2(Math.max(most, 2))) }, (_, i) => 2 ** i);
  const found = examineSamples(truth, Float64Array.of(sigma), counts, options);
  const variance = meanOf(found.map((findings) => findings.variance[0] as number)).value;
  const enough = counts.findIndex((_, k) => {
    const left = meanOf(found.map(({ errors }) => errors[k]?.[0] as number)).value;
    return left <= fraction * variance;
  });
  return counts[enough] ?? (truth.count === null ? null : "all");
}

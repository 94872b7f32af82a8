/**
 * Where an analytic denoiser should take over from a network: above the smallest noise level at which it predicts images better that it
 * was not fitted to. At high noise it usually does, because there it is close to the best denoiser of the data, which a network has to
 * learn; at low noise a network knows more than a few Gaussians.
 *
 * Both see the same noisy images, so that the difference of their errors is far better known than either error.
 */

import { keyedNormal, noGrad, scope, type Tensor } from "@stf/torch";
import { column } from "../column.js";
import type { Bank } from "../data/bank.js";
import { type Estimate, meanOf } from "../metrics/estimate.js";
import { randomKey } from "../random/keyed.js";
import { contentOrder } from "./content-order.js";

/** The denoiser D(x; sigma), images in and out, `[B, C, H, W]`, float32, with the noise level and the class of each image. */
export type ClassDenoiser = (x: Tensor, sigma: Float64Array, classes: Int32Array | undefined) => Tensor;

/** The errors ||D(x; sigma) - y||² / D of both denoisers at a noise level. */
export interface HandOverLevel {
  /** The noise level. */
  readonly sigma: number;
  /** Number of images. */
  readonly images: number;
  /** The error of the network. */
  readonly network: Estimate;
  /** The error of the analytic denoiser. */
  readonly analytic: Estimate;
  /** Error of the network minus error of the analytic denoiser: positive where the latter is better. */
  readonly advantage: Estimate;
}

/** Where an analytic denoiser takes over, and the evidence. */
export interface HandOver {
  /**
   * The noise level above which the analytic denoiser is better, at two standard errors, and the network nowhere better; null when
   * there is none.
   */
  readonly above: number | null;
  /** The noise level below that one at which the mean errors are equal; null when they are equal nowhere. */
  readonly equal: number | null;
  /** In ascending order of the noise level. */
  readonly levels: readonly HandOverLevel[];
}

/** Options of {@link measureHandOver}. */
export interface HandOverOptions {
  /** The lowest noise level considered: that from which the analytic denoiser describes the data. */
  readonly sigmaMin: number;
  /** The highest noise level considered. */
  readonly sigmaMax: number;
  /** Images per level around the hand-over; all when left out, and at the other levels a quarter of them. */
  readonly images?: number | undefined;
  /** Images per evaluation. 64 when left out. */
  readonly batch?: number;
  /** Called after each evaluation with the number of images denoised so far; may throw to stop. */
  readonly onBatch?: (done: number) => void;
}

/** Standard errors that count as a difference. */
const SIGNIFICANT = 2;
/** Ratio of neighbouring levels at first, and of those around the hand-over. */
const COARSE = 1.6;
const FINE = COARSE ** (1 / 3);
/** Images of the first look at least. */
const LEAST_IMAGES = 64;

/** What the advantage may be off by. One image does not tell. */
const margin = ({ advantage: { error = Number.POSITIVE_INFINITY } }: HandOverLevel): number => SIGNIFICANT * error;

const isNetworkBetter = (level: HandOverLevel): boolean => level.advantage.value + margin(level) < 0;

/** What the advantage is at least. */
const lowerBound = (level: HandOverLevel): number => level.advantage.value - margin(level);

/** Where a line through the values at two noise levels, over ln sigma, is zero. */
function zeroBetween(low: HandOverLevel, high: HandOverLevel, measureOf: (level: HandOverLevel) => number): number {
  const [below, above] = [measureOf(low), measureOf(high)];
  return low.sigma * (high.sigma / low.sigma) ** (below / (below - above));
}

/** The smallest noise level above which a value is positive at every level where the network is not significantly better. */
function crossingOf(levels: readonly HandOverLevel[], measureOf: (level: HandOverLevel) => number): number | null {
  let lowest: number | null = null;
  for (let k = levels.length - 1; k >= 0; k--) {
    const level = levels[k] as HandOverLevel;
    if (isNetworkBetter(level)) break;
    if (!(measureOf(level) > 0)) continue;
    const next = levels[k - 1];
    lowest = next && measureOf(next) < 0 ? zeroBetween(next, level, measureOf) : level.sigma;
  }
  return lowest;
}

/** Where to hand over, by errors at some levels. @param levels - in ascending order of the noise level */
export function handOverAt(levels: readonly HandOverLevel[]): HandOver {
  const above = crossingOf(levels, lowerBound);
  const equal = above === null ? null : crossingOf(levels, ({ advantage }) => advantage.value);
  // At the lowest level they need not be equal.
  return { above, equal: equal === levels[0]?.sigma ? null : equal, levels };
}

/** Noise levels from `low` to `high` in steps of about a ratio. */
function ladder(low: number, high: number, ratio: number): number[] {
  const steps = Math.max(1, Math.ceil(Math.log(high / low) / Math.log(ratio) - 1e-9));
  return Array.from({ length: steps + 1 }, (_, k) => low * (high / low) ** (k / steps));
}

/**
 * Measures where an analytic denoiser should take over from a network: at widely spaced noise levels first, then at closer ones around
 * the hand-over. The result is determined by the denoisers, the images and the options: the order of the images does not matter, and fewer
 * than all are of all kinds. Takes about 4 evaluations of each denoiser for every image and 3 more for a quarter of them.
 *
 * @param bank - images that the analytic denoiser was not fitted to. Images that the network was trained on make it look better than it
 * is, and the hand-over higher
 * @throws RangeError for a range of noise levels that is empty
 */
export function measureHandOver(
  network: ClassDenoiser,
  analytic: ClassDenoiser,
  bank: Bank,
  { sigmaMin, sigmaMax, images = bank.count, batch = 64, onBatch }: HandOverOptions,
): HandOver {
  if (!(sigmaMin > 0 && sigmaMin < sigmaMax && sigmaMax < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`noise levels must have a range above 0, found ${sigmaMin} to ${sigmaMax}`);
  }
  const most = Math.min(images, bank.count);
  const few = Math.min(most, Math.max(LEAST_IMAGES, Math.ceil(most / 4)));
  const order = contentOrder(bank, 0);
  let done = 0;
  const at = (sigma: number, count: number): HandOverLevel =>
    errorsAt(network, analytic, bank, order.subarray(0, count), sigma, batch, (denoised) => {
      done += denoised;
      onBatch?.(done);
    });
  const coarse = ladder(sigmaMin, sigmaMax, COARSE).map((sigma) => at(sigma, few));
  const found = handOverAt(coarse).above;
  if (found === null) return handOverAt(coarse);
  const [low, high] = [Math.max(sigmaMin, found / COARSE), Math.min(sigmaMax, found * FINE)];
  const fine = ladder(low, high, FINE).map((sigma) => at(sigma, most));
  const kept = coarse.filter(({ sigma }) => sigma < low || sigma > high);
  return handOverAt([...kept, ...fine].sort((a, b) => a.sigma - b.sigma));
}

/** Errors at one level, on some images of the bank. */
function errorsAt(
  network: ClassDenoiser,
  analytic: ClassDenoiser,
  bank: Bank,
  chosen: Int32Array,
  sigma: number,
  batch: number,
  onBatch: (denoised: number) => void,
): HandOverLevel {
  const errors: { network: number[]; analytic: number[] } = { network: [], analytic: [] };
  for (let first = 0; first < chosen.length; first += batch) {
    const items = chosen.subarray(first, first + batch);
    noGrad(() =>
      scope(() => {
        const { channels, height, width } = bank.shape;
        const shape = [items.length, channels, height, width];
        const clean = bank.toValues(bank.gather(items)).view(shape);
        const levels = new Float64Array(items.length).fill(sigma);
        // The same noise at every level, so that the errors are smooth functions of it.
        const keys = Array.from(items, (_, i) => randomKey(0, "handOver", first + i));
        const noise = keyedNormal(keys, bank.dimension, bank.device).view(shape);
        const noisy = clean.add(noise.mul(column(levels, noise)));
        const classes = bank.labels && items.map((item) => bank.labels?.[item] as number);
        const errorOf = (denoise: ClassDenoiser): Float64Array =>
          scope(() =>
            denoise(noisy, levels, classes).double().sub(clean).square().flatten(1).mean([1]).toFloat64Array(),
          );
        errors.network.push(...errorOf(network));
        errors.analytic.push(...errorOf(analytic));
      }),
    );
    onBatch(items.length);
  }
  const differences = errors.network.map((error, i) => error - (errors.analytic[i] as number));
  return {
    sigma,
    images: chosen.length,
    network: meanOf(errors.network),
    analytic: meanOf(errors.analytic),
    advantage: meanOf(differences),
  };
}

/**
 * The Inception Score (Salimans et al. 2016): exp( E_x KL( p(c|x) || p(c) ) ), with p(c|x) the softmax of a classifier's scores and
 * p(c) its mean over the images. It is large when the classifier is sure of each image and all classes occur; it
 * knows nothing of the data.
 */

import { type Tensor, zeros } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { type Estimate, meanOf } from "./estimate.js";
import { forEachBlock } from "./feature-matrix.js";

/** Options of {@link inceptionScore}. */
export interface InceptionScoreOptions {
  /**
   * Consecutive parts whose scores are averaged: 1 is the score over all images, which is the default; 10 is how the
   * score was first published, which is smaller, because the classes of a part are less even.
   */
  readonly splits?: number;
}

/** Parts that are left out in turn for the error of a score over all images. */
const JACKKNIFE_PARTS = 10;
const ROWS_AT_ONCE = 4096;

/** Sums over images. */
interface ScoreSums {
  readonly count: number;
  /** sum_x p(c|x) for each class c. */
  readonly classes: Float64Array;
  /** sum_x sum_c p(c|x) ln p(c|x) */
  readonly negentropy: number;
}

/** @param logits - floating point `[N, classes]` */
function sumsOf(logits: Tensor): ScoreSums {
  const [count, classes] = logits.shape as [number, number];
  using total = zeros([classes], { dtype: "float64", device: logits.device });
  let negentropy = 0;
  forEachBlock(count, ROWS_AT_ONCE, (first, length) => {
    const logarithms = logits.narrow(0, first, length).double().logSoftmax(1);
    const shares = logarithms.exp();
    total.add_(shares.sum([0]));
    // A class that is ruled out has p = 0 and ln p = -infinity, and counts 0.
    negentropy += shares.mul_(logarithms.clampMin(-1e300)).sum().item();
  });
  return { count, classes: total.toFloat64Array(), negentropy };
}

/** exp of the entropy of the mean minus the mean entropy. */
function scoreOf(parts: readonly ScoreSums[]): number {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const negentropy = parts.reduce((sum, part) => sum + part.negentropy, 0);
  const classes = parts[0]?.classes.length ?? 0;
  let entropy = 0;
  for (let c = 0; c < classes; c++) {
    const p = parts.reduce((sum, part) => sum + (part.classes[c] as number), 0) / count;
    if (p > 0) entropy -= p * Math.log(p);
  }
  return Math.exp(negentropy / count + entropy);
}

/** Sums of consecutive parts of nearly equal size. */
function partsOf(logits: Tensor, parts: number): ScoreSums[] {
  const at = (part: number): number => Math.floor((part * logits.size(0)) / parts);
  return Array.from({ length: parts }, (_, part) => {
    using rows = logits.narrow(0, at(part), at(part + 1) - at(part));
    return sumsOf(rows);
  });
}

/** The standard error of a score from the scores without one part each (jackknife). */
function jackknifeError(parts: readonly ScoreSums[]): number {
  const scores = parts.map((_, left) => scoreOf(parts.filter((_, part) => part !== left)));
  const { value } = meanOf(scores);
  const squares = scores.reduce((sum, score) => sum + (score - value) ** 2, 0);
  return Math.sqrt((squares * (parts.length - 1)) / parts.length);
}

/**
 * The Inception Score, from 1 to the number of classes. The error of the score over all images comes from leaving out a
 * tenth at a time, that of a mean over parts from the spread between them. The images must be in random order, as samples
 * from consecutive seeds are.
 *
 * @param logits - class scores before softmax, `[N, classes]`
 * @throws InputError when there are fewer images than parts, or scores are not numbers.
 */
export function inceptionScore(logits: Tensor, { splits = 1 }: InceptionScoreOptions = {}): Estimate {
  const count = logits.size(0);
  if (count < Math.max(1, splits)) {
    throw new InputError(`an Inception Score of ${splits} parts needs at least ${splits} images, found ${count}`);
  }
  const parts = partsOf(logits, splits === 1 ? Math.min(count, JACKKNIFE_PARTS) : splits);
  const estimate =
    splits > 1
      ? meanOf(parts.map((part) => scoreOf([part])))
      : { value: scoreOf(parts), ...(parts.length > 1 && { error: jackknifeError(parts) }) };
  if (!Number.isFinite(estimate.value)) throw new InputError("the class scores are not all numbers");
  return estimate;
}

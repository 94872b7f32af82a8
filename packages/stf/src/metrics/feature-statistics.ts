/** Mean and covariance of features, summed batch by batch: what the Fréchet distance compares. */

import { scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { checkFinite, forEachBlock } from "./feature-matrix.js";
import { RunningMoments } from "./moments.js";

/** Mean and covariance of the features of a set of images. */
export interface FeatureStatistics {
  /** N; undefined for statistics from elsewhere that do not tell. */
  readonly count: number | undefined;
  /** float64 `[d]` */
  readonly mean: Tensor;
  /** With divisor N - 1, float64 `[d, d]`. */
  readonly covariance: Tensor;
}

/** Sums over the features of N images, which can be combined with those of other images. */
export interface FeatureSums {
  /** N */
  readonly count: number;
  /** float64 `[d]` */
  readonly mean: Tensor;
  /** sum (f - mean) (f - mean)^T, float64 `[d, d]` */
  readonly scatter: Tensor;
}

/** Features that are converted to float64 at a time. */
const ROWS_AT_ONCE = 2048;

/**
 * Sums up the statistics of features in float64, on the device of the first batch. The price of a batch of B features is one
 * product of matrices, 2 B d² operations, and one pass over d² sums, so large batches are faster.
 *
 * The published programs sum f and f f^T and subtract N mean mean^T at the end, which loses as many digits as
 * mean² / variance has; here features are centred first, and large means cost no digits.
 */
export class FeatureAccumulator {
  readonly #moments = new RunningMoments();
  /** d */
  readonly dimension: number;

  /** @param dimension - d, the number of features of an image */
  constructor(dimension: number) {
    this.dimension = dimension;
  }

  /** Images so far. */
  get count(): number {
    return this.#moments.count;
  }

  /**
   * @param features - floating point `[B, d]`
   * @throws InputError for another number of features.
   */
  add(features: Tensor): void {
    const [rows = 0, columns = 0] = features.shape;
    if (features.rank !== 2 || columns !== this.dimension) {
      throw new InputError(`features must be [images, ${this.dimension}], found [${features.shape.join(", ")}]`);
    }
    forEachBlock(rows, ROWS_AT_ONCE, (first, length) => {
      this.#moments.add(features.narrow(0, first, length).unsqueeze(0));
    });
  }

  /**
   * Adds the sums over other images, such as those of another process.
   *
   * @throws InputError for another number of features.
   */
  merge({ count, mean, scatter }: FeatureSums): void {
    const found = mean.numel;
    if (found !== this.dimension) {
      throw new InputError(`sums over ${found} features cannot be added to sums over ${this.dimension}`);
    }
    scope(() => {
      this.#moments.merge({ count, mean: mean.unsqueeze(0), scatter: scatter.unsqueeze(0) });
    });
  }

  /**
   * A copy of the sums, on the CPU. The caller disposes of the tensors.
   *
   * @throws InputError without any features.
   */
  sums(): FeatureSums {
    const moments = this.#moments.moments;
    if (!moments) throw new InputError("statistics need at least 2 images, found none");
    const copy = (tensor: Tensor): Tensor => tensor.squeeze(0).to({ device: "cpu", copy: true });
    return scope(() => ({ count: moments.count, mean: copy(moments.mean), scatter: copy(moments.scatter) }));
  }

  /**
   * Mean and covariance of all features so far, on the CPU. The caller disposes of the tensors.
   *
   * @throws InputError with fewer than two images, and for features that are not finite.
   */
  statistics(): FeatureStatistics {
    if (this.count < 2) {
      throw new InputError(`statistics need at least 2 images, found ${this.count === 0 ? "none" : "1"}`);
    }
    return scope(() => {
      const { count, mean, scatter } = this.sums();
      const covariance = scatter.div_(count - 1);
      // A product of a matrix with itself is symmetric only up to rounding.
      const symmetric = covariance.add(covariance.t()).div_(2);
      checkFinite(mean);
      checkFinite(symmetric);
      return { count, mean, covariance: symmetric };
    });
  }

  /** Frees the sums. */
  dispose(): void {
    this.#moments.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * Mean and covariance of features in memory. The caller disposes of the tensors.
 *
 * @param features - floating point `[N, d]`
 * @throws InputError with fewer than two rows, and for features that are not finite.
 */
export function featureStatistics(features: Tensor): FeatureStatistics {
  using accumulator = new FeatureAccumulator(features.size(-1));
  accumulator.add(features);
  return accumulator.statistics();
}

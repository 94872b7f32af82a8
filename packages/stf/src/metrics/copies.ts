/**
 * Whether samples are copies of training images: the distance d1 to the nearest training image beside the distance d2 to the second
 * nearest. A sample that is no copy lies about as far from both, so that d1 / d2 is close to 1; one with d1 / d2 < 1/3 is
 * called a copy in the literature on memorisation (Yoon et al. 2023; Gu et al. 2023).
 *
 * Identical training images count as one, otherwise the copy of an image that occurs twice would have d1 / d2 = 1. Images that
 * differ by a grey level do not, so near duplicates in the data hide copies: look at the pairs, and compare with the share
 * among held-out images.
 */

import { cat, full, relativeSquaredDistances, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { type Estimate, shareOf } from "./estimate.js";
import { checkFinite, forEachBlock } from "./feature-matrix.js";
import { identicalRows } from "./identical-rows.js";
import { centred, squaredDistances } from "./pairwise.js";

/** A sample and its nearest training images. */
export interface CopyPair {
  /** Row of the sample. */
  readonly sample: number;
  /** Row of the nearest training image. */
  readonly nearest: number;
  /** Row of the nearest training image that is not identical to that. */
  readonly second: number;
  /** d1, Euclidean, in units of the rows. */
  readonly distance: number;
  /** d2 */
  readonly secondDistance: number;
  /** d1 / d2 */
  readonly ratio: number;
}

/** {@link findCopies}'s result. */
export interface CopyReport {
  /** Share of samples whose ratio is below the threshold. */
  readonly share: Estimate;
  /** The ratio below which a sample is called a copy. */
  readonly threshold: number;
  /** Training images that differ from each other. */
  readonly distinct: number;
  /** One for each sample, the smallest ratio first. */
  readonly pairs: readonly CopyPair[];
}

/** Options of {@link findCopies}. */
export interface CopyOptions {
  /** The ratio below which a sample is called a copy; 1/3 when left out. */
  readonly threshold?: number;
  /**
   * For each training image the first one that is identical to it, such as {@link identicalRows} of the pixels when the rows are
   * features, which may differ in rounding. Found from the rows when left out.
   */
  readonly identical?: Int32Array;
  /** Called with the samples done so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

const SAMPLES_AT_ONCE = 512;
const IMAGES_AT_ONCE = 4096;
/** Images that are nearest by rounded distances, among which the two nearest are found exactly. */
const CANDIDATES = 8;
const RECHECKED_AT_ONCE = 64;

/** The images nearest to some samples, ascending by squared distance, and which they are: `[samples, k]` each. */
type Nearest = readonly [squares: Tensor, images: Tensor];

/** Squared distances from samples to the images of a block, float `[samples, length]`. */
type BlockDistances = (first: number, length: number) => Tensor;

/** The k nearest of `count` images, numbered from 0, block by block. */
function nearestOf(distances: BlockDistances, count: number, k: number): Nearest {
  return scope(() => {
    let best: Nearest | undefined;
    for (let first = 0; first < count; first += IMAGES_AT_ONCE) {
      const previous: Nearest | undefined = best;
      best = scope((): Nearest => {
        const length = Math.min(IMAGES_AT_ONCE, count - first);
        const [squares, places] = distances(first, length).topk(Math.min(k, length), 1, false);
        const images = places.add(first);
        if (!previous) return [squares, images];
        const [all, names] = [cat([previous[0], squares], 1), cat([previous[1], images], 1)];
        const [least, order] = all.topk(Math.min(k, all.size(1)), 1, false);
        return [least, names.gather(1, order)];
      });
      previous?.forEach((x) => void x.dispose());
    }
    return best as Nearest;
  });
}

/** The two nearest images by exact distances of bytes. */
function nearestBytes(samples: Tensor, training: Tensor, distinct: Tensor): Nearest {
  const { device } = training;
  const rays = {
    origins: samples,
    directions: zeros(samples.shape, { device }),
    steps: zeros([samples.size(0)], { dtype: "float64", device }),
  };
  const distances: BlockDistances = (first, length) =>
    relativeSquaredDistances(rays, training, distinct.narrow(0, first, length));
  return nearestOf(distances, distinct.numel, 2);
}

/** The two nearest rows of floating-point numbers: candidates by rounded distances, then exact distances in float64. */
function nearestVectors(samples: Tensor, training: Tensor, distinct: Tensor, centre: Tensor): Nearest {
  const block = centred(samples, centre, 0, samples.size(0));
  const distances: BlockDistances = (first, length) => {
    const rows = training.indexSelect(0, distinct.narrow(0, first, length));
    return squaredDistances(block, centred(rows, centre, 0, length));
  };
  const [, candidates] = nearestOf(distances, distinct.numel, CANDIDATES);
  const exact = full(candidates.shape, 0, { dtype: "float64", device: training.device });
  forEachBlock(samples.size(0), RECHECKED_AT_ONCE, (first, length) => {
    const places = distinct.indexSelect(0, candidates.narrow(0, first, length).flatten());
    const rows = training
      .indexSelect(0, places)
      .double()
      .view([length, -1, training.size(1)]);
    const own = samples.narrow(0, first, length).double().unsqueeze(1);
    exact.narrow(0, first, length).copy_(rows.sub_(own).square_().sum([2]));
  });
  const [squares, order] = exact.topk(2, 1, false);
  return [squares, candidates.gather(1, order)];
}

/** The pairs of some samples; `distinct` translates images to rows of the training set. */
function pairsOf([squares, images]: Nearest, distinct: Int32Array, firstSample: number): CopyPair[] {
  const [distances, places] = [squares.sqrt().toFloat64Array(), images.toFloat64Array()];
  return Array.from({ length: squares.size(0) }, (_, row) => {
    const [distance, secondDistance] = [distances[2 * row] as number, distances[2 * row + 1] as number];
    const rowOf = (at: number): number => distinct[places[at] as number] as number;
    return {
      sample: firstSample + row,
      nearest: rowOf(2 * row),
      second: rowOf(2 * row + 1),
      distance,
      secondDistance,
      // Distinct features may be equal when their images are not.
      ratio: secondDistance > 0 ? distance / secondDistance : 1,
    };
  });
}

/** @throws InputError when the rows cannot be compared. */
function checkRows(samples: Tensor, training: Tensor): void {
  const [own, other] = [samples, training].map(({ dtype, shape }) => `${dtype} [${shape.join(", ")}]`);
  if (samples.rank !== 2 || training.rank !== 2 || samples.size(1) !== training.size(1)) {
    throw new InputError(`samples and training images must be rows of equal length, found ${own} and ${other}`);
  }
  if (samples.dtype !== training.dtype) {
    throw new InputError(`samples and training images must have the same dtype, found ${own} and ${other}`);
  }
  if (samples.size(0) === 0) throw new InputError("copies need at least 1 sample, found none");
}

/**
 * For each sample the nearest training images, and the share of copies. Distances of bytes are exact; for floating-point rows
 * the nearest are found in their precision and measured in float64. The cost is M N D products.
 *
 * A copy of a mirrored image is found only if the training rows contain the mirror images.
 *
 * @param samples - `[M, D]`: bytes of images, or features
 * @param training - `[N, D]` of the same dtype
 * @throws InputError when rows differ in length, or all training images are identical.
 */
export function findCopies(samples: Tensor, training: Tensor, options: CopyOptions = {}): CopyReport {
  checkRows(samples, training);
  const { threshold = 1 / 3, identical = identicalRows(training), onProgress } = options;
  const distinct = Int32Array.from(identical.keys()).filter((row) => identical[row] === row);
  if (distinct.length < 2) {
    throw new InputError("copies can only be told from other samples with two training images that differ; found one");
  }
  const pairs: CopyPair[] = [];
  scope(() => {
    const index = tensor(distinct, { device: training.device });
    const isBytes = training.dtype === "uint8";
    if (!isBytes) for (const rows of [samples, training]) checkFinite(rows);
    const centre = isBytes ? undefined : training.mean([0]);
    forEachBlock(samples.size(0), SAMPLES_AT_ONCE, (first, length) => {
      const block = samples.narrow(0, first, length).to({ device: training.device }).contiguous();
      const nearest = centre ? nearestVectors(block, training, index, centre) : nearestBytes(block, training, index);
      for (const pair of pairsOf(nearest, distinct, first)) pairs.push(pair);
      onProgress?.(first + length, samples.size(0));
    });
  });
  pairs.sort((a, b) => a.ratio - b.ratio);
  const hits = pairs.filter(({ ratio }) => ratio < threshold).length;
  return { share: shareOf(hits, pairs.length), threshold, distinct: distinct.length, pairs };
}

/**
 * The sliced Wasserstein distance between two sets of features (Rabin et al. 2011; on Inception's features it ranks networks
 * with fewer images than the Fréchet distance needs, arXiv 2605.06797): the mean over random unit directions v of the
 * squared Wasserstein-2 distance of the projections v.f, in one dimension
 *
 *     W² = int_0^1 (F^-1(u) - G^-1(u))² du,
 *
 * times d. With this factor a shift of the mean by delta counts ||delta||², as in the Fréchet distance.
 */

import { type Device, empty, Generator, randn, randperm, scope, type Tensor, tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { type Estimate, meanOf } from "./estimate.js";
import { checkFeatures, forEachBlock } from "./feature-matrix.js";

/** Options of {@link slicedWasserstein}. */
export interface SlicedWassersteinOptions {
  /** Number of random directions; 1000 when left out. */
  readonly directions?: number;
  /** Decides the directions: only numbers with the same ones compare closely. 0 when left out. */
  readonly seed?: number;
  /** Called with the directions done so far. */
  readonly onProgress?: (done: number, total: number) => void;
}

const DIRECTIONS = 1000;
/** Directions whose projections are held at a time. */
const DIRECTIONS_AT_ONCE = 64;
const ROWS_AT_ONCE = 4096;

/** Random unit vectors, the columns of float64 `[d, count]`. The same on every device. */
function unitDirections(dimension: number, count: number, seed: number): Tensor {
  using generator = new Generator(seed);
  return scope(() => {
    const normals = randn([count, dimension], { generator, dtype: "float64" });
    return normals.div(normals.square().sum([1], true).sqrt_()).t();
  });
}

/** v.(f - centre) of all rows along some directions, `[directions, N]`. */
function project(features: Tensor, centre: Tensor, directions: Tensor): Tensor {
  return scope(() => {
    const { dtype, device } = features;
    const columns = directions.to({ dtype, device });
    const result = empty([columns.size(1), features.size(0)], { dtype, device });
    forEachBlock(features.size(0), ROWS_AT_ONCE, (first, length) => {
      const block = features.narrow(0, first, length).sub(centre);
      result.narrow(1, first, length).copy_(block.mm(columns).t());
    });
    return result;
  });
}

/**
 * The intervals on which the quantile functions of n and m values are both constant: which value each has there, and the length.
 * Breakpoints are compared as whole numbers over the common denominator n m.
 */
function quantileIntervals(n: number, m: number): { first: Int32Array; second: Int32Array; lengths: Float64Array } {
  const [first, second] = [new Int32Array(n + m - 1), new Int32Array(n + m - 1)];
  const lengths = new Float64Array(n + m - 1);
  let [i, j, start, interval] = [0, 0, 0, 0];
  for (; i < n && j < m; interval++) {
    const [nextFirst, nextSecond] = [(i + 1) * m, (j + 1) * n];
    const end = Math.min(nextFirst, nextSecond);
    first[interval] = i;
    second[interval] = j;
    lengths[interval] = (end - start) / (n * m);
    start = end;
    if (nextFirst === end) i++;
    if (nextSecond === end) j++;
  }
  // Breakpoints that coincide leave intervals of length 0 at the end.
  return { first, second, lengths };
}

/** Computes W² for each row of projections, float64 `[directions]`. */
function squaredDistances(n: number, m: number, device: Device): (a: Tensor, b: Tensor) => Float64Array {
  if (n === m) return (a, b) => a.sub(b).double().square_().mean([1]).toFloat64Array();
  const intervals = quantileIntervals(n, m);
  const [first, second, lengths] = [intervals.first, intervals.second, intervals.lengths].map((numbers) =>
    tensor(numbers, { device }),
  ) as [Tensor, Tensor, Tensor];
  return (a, b) =>
    a.indexSelect(1, first).sub_(b.indexSelect(1, second)).double().square_().mv(lengths).toFloat64Array();
}

/** Projections of two sets along a chunk of directions, `[directions, n]` and `[directions, m]`. */
type Projections = (directions: Tensor) => readonly [Tensor, Tensor];

/** d times the mean of W² over directions. */
function sliced(
  projections: Projections,
  { n, m, dimension, device }: { n: number; m: number; dimension: number; device: Device },
  { directions = DIRECTIONS, seed = 0, onProgress }: SlicedWassersteinOptions,
): Estimate {
  if (!(directions >= 2)) throw new InputError(`at least 2 directions are needed, found ${directions}`);
  return scope(() => {
    const all = unitDirections(dimension, directions, seed);
    const distances = squaredDistances(n, m, device);
    const squares = new Float64Array(directions);
    forEachBlock(directions, DIRECTIONS_AT_ONCE, (first, length) => {
      const [a, b] = projections(all.narrow(1, first, length));
      squares.set(distances(a.sort(1)[0], b.sort(1)[0]), first);
      onProgress?.(first + length, directions);
    });
    return meanOf(squares.map((square) => dimension * square));
  });
}

/**
 * The sliced Wasserstein distance times d, in squared units of the features. Equal sets have distance 0; the projections
 * of any numbers of images are compared exactly.
 *
 * The error is that of the mean over random directions. Distances with the same directions share it, so that networks can be told
 * apart that differ by less. It does not contain what the choice of images adds: different images of one distribution have
 * a positive distance, which shrinks with their number; {@link slicedWassersteinFloor} measures it.
 *
 * @param a - features, `[N, d]`
 * @param b - features of other images, `[M, d]`
 * @throws InputError when the numbers of features differ.
 */
export function slicedWasserstein(a: Tensor, b: Tensor, options: SlicedWassersteinOptions = {}): Estimate {
  checkFeatures(a, b, 1);
  return scope(() => {
    const other = b.to({ dtype: a.dtype, device: a.device });
    const centre = other.mean([0]);
    const projections: Projections = (chunk) => [project(a, centre, chunk), project(other, centre, chunk)];
    const sizes = { n: a.size(0), m: b.size(0), dimension: a.size(1), device: a.device };
    return sliced(projections, sizes, options);
  });
}

/**
 * The distance from all reference images that as many perfect samples would have: below it, numbers tell nothing. Measured
 * between random parts of the reference set, the smaller of which has `samples` images if that is at most half, and
 * scaled by 1/n + 1/m, to which the distance of samples of one distribution is nearly proportional.
 *
 * @param reference - features of real images, `[N, d]`
 * @param samples - the number of samples that are compared with all of `reference`
 * @throws InputError for fewer than two reference images.
 */
export function slicedWassersteinFloor(
  reference: Tensor,
  samples: number,
  options: SlicedWassersteinOptions = {},
): Estimate {
  checkFeatures(reference, reference, 2);
  const [count, dimension] = reference.shape as [number, number];
  const n = Math.min(samples, Math.floor(count / 2));
  const m = count - n;
  using generator = new Generator(options.seed ?? 0);
  return scope(() => {
    const { device } = reference;
    const order = randperm(count, { generator }).to({ device });
    const centre = reference.mean([0]);
    const projections: Projections = (chunk) => {
      const all = project(reference, centre, chunk);
      return [all.indexSelect(1, order.narrow(0, 0, n)), all.indexSelect(1, order.narrow(0, n, m))];
    };
    const { value, error } = sliced(projections, { n, m, dimension, device }, options);
    const factor = (1 / samples + 1 / count) / (1 / n + 1 / m);
    return { value: value * factor, ...(error !== undefined && { error: error * factor }) };
  });
}

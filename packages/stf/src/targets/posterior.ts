/**
 * The posterior over the source images of a noisy image: the weights w_k = softmax_k(-||x - r_k||² / (2 sigma²)) and their
 * mean, for any x, however it was made. With the whole bank the mean is the denoiser D*(x; sigma) of the empirical
 * distribution, which training on that bank tends to.
 *
 * Distances are relative to the nearest reference o: ||x - r||² - ||x - o||² = ||o - r||² + 2 (x - o).(o - r), in float64.
 * The distance common to all references cancels beforehand, so near-duplicates are distinguished at any noise level.
 */

import {
  checkShape,
  noGrad,
  relativeSquaredDistances,
  scope,
  type Tensor,
  tensor,
  weightedRowSum,
  where,
  zeros,
} from "@stf/torch";
import { column } from "../column.js";
import type { Bank } from "../data/bank.js";

/** Options of {@link posterior}. */
export interface PosteriorOptions {
  /** The candidate source images, by index; the whole bank when left out. */
  readonly references?: Int32Array | "all";
  /** References compared at a time; it affects memory, not the result. 2048 when left out. */
  readonly chunk?: number;
}

/** The result of {@link posterior} for B noisy images and n references. */
export interface Posterior {
  /** sum_k w_k r_k, float32 `[B, C, H, W]`. */
  readonly mean: Tensor;
  /** ln w_k, float64 `[B, n]`, in the order of the references; the weights of a row sum to 1. */
  readonly logWeights: Tensor;
}

/** Some references: rows of the bank, all of them or by index, from reference number `first` on. */
interface Chunk {
  readonly first: number;
  readonly length: number;
  readonly rows: Tensor;
  readonly index: Tensor | undefined;
}

/**
 * The posterior over references of any noisy images. Besides the result it takes the memory of a chunk of references and its
 * B x m distances.
 *
 * @param x - unscaled noisy images, y + sigma eps, `[B, C, H, W]`, float32 or float64
 * @param sigma - noise level of each image, `[B]`, positive
 * @throws ShapeError when x does not have the bank's shape; RangeError for noise levels that are not positive numbers, and without
 * references; TorchError for an index that is out of range
 */
export function posterior(
  bank: Bank,
  x: Tensor,
  sigma: Float64Array,
  { references = "all", chunk = 2048 }: PosteriorOptions = {},
): Posterior {
  const { channels, height, width } = bank.shape;
  const B = sigma.length;
  checkShape("noisy images", x.shape, [B, channels, height, width]);
  const wrong = sigma.find((level) => !(level > 0 && level < Number.POSITIVE_INFINITY));
  if (wrong !== undefined) throw new RangeError(`noise levels must be positive numbers, found ${wrong}`);
  const count = references === "all" ? bank.count : references.length;
  if (count === 0) throw new RangeError("a posterior needs references, found none; leave them out for the whole bank");
  return noGrad(() =>
    scope(() => {
      const { device, unit, dimension } = bank;
      const chunks = chunksOf(bank, references, chunk);
      const points = bank.fromValues(x).reshape([B, dimension]);
      const nearest = nearestTo(points, chunks);
      const scales = sigma.map((level) => -0.5 / (level * unit) ** 2);
      const logits = zeros([B, count], { dtype: "float64", device });
      const factor = column(scales, logits);
      for (const each of chunks) {
        scope(() => columns(logits, each).copy_(distances(nearest, points.sub(nearest), each).mul_(factor)));
      }
      const logWeights = logits.sub_(logits.logsumexp(1, true));
      const meanOf = (each: Chunk): Tensor => weightedRowSum(columns(logWeights, each).exp(), each.rows, each.index);
      const [first, ...others] = chunks as [Chunk, ...Chunk[]];
      const mean = meanOf(first);
      for (const each of others) scope(() => mean.add_(meanOf(each)));
      return { mean: bank.toValues(mean).view(x.shape), logWeights };
    }),
  );
}

function chunksOf(bank: Bank, references: Int32Array | "all", most: number): Chunk[] {
  const count = references === "all" ? bank.count : references.length;
  return Array.from({ length: Math.ceil(count / most) }, (_, i) => {
    const first = i * most;
    const length = Math.min(most, count - first);
    if (references === "all") return { first, length, rows: bank.rows.narrow(0, first, length), index: undefined };
    const index = tensor(references.slice(first, first + length), { device: bank.device });
    return { first, length, rows: bank.rows, index };
  });
}

const columns = (weights: Tensor, { first, length }: Chunk): Tensor => weights.narrow(1, first, length);

/** ||x - r||² - ||x - o||² in the bank's own units, float64 `[B, m]`, from rows o of the bank and the directions x - o, `[B, D]`. */
function distances(origins: Tensor, directions: Tensor, { rows, index }: Chunk): Tensor {
  const steps = tensor(new Float64Array(origins.size(0)).fill(1), { device: origins.device });
  return relativeSquaredDistances({ origins, directions, steps }, rows, index);
}

/** The rows of a chunk at the given positions, `[positions.length, D]`. */
function rowsAt({ rows, index }: Chunk, positions: Tensor): Tensor {
  return rows.indexSelect(0, index ? index.indexSelect(0, positions) : positions);
}

/**
 * The reference nearest to each point, up to float32 rounding, `[B, D]`. It serves as the origin of distances, for
 * which any near one is good enough.
 */
function nearestTo(points: Tensor, chunks: readonly Chunk[]): Tensor {
  return scope(() => {
    const start = rowsAt(chunks[0] as Chunk, zeros([points.size(0)], { dtype: "int64", device: points.device }));
    const directions = points.sub(start).float();
    let nearest = start;
    let least = zeros([points.size(0), 1], { dtype: "float64", device: points.device });
    for (const each of chunks) {
      const found = distances(start, directions, each);
      const place = found.argmin(1, true);
      const distance = found.gather(1, place);
      nearest = where(distance.lt(least), rowsAt(each, place.flatten()), nearest);
      least = distance.minimum(least);
    }
    return nearest;
  });
}

/** The effective number of references of each posterior, 1 / sum_k w_k²: from 1 to n, `[B]`. */
export function effectiveSampleSize({ logWeights }: Pick<Posterior, "logWeights">): Float64Array {
  return scope(() => logWeights.mul(2).logsumexp(1).neg_().exp_().toFloat64Array());
}

/** The entropy of each posterior, -sum_k w_k ln w_k, in nats: from 0 to ln n, `[B]`. */
export function posteriorEntropy({ logWeights }: Pick<Posterior, "logWeights">): Float64Array {
  return scope(() => logWeights.exp().mul_(logWeights).sum(1).neg_().abs_().toFloat64Array());
}

/**
 * The weight of one reference for each image, `[B]`: the probability that it is the source.
 *
 * @param positions - position of that reference among the references, `[B]`; with the whole bank, its index
 */
export function posteriorWeight({ logWeights }: Pick<Posterior, "logWeights">, positions: Int32Array): Float64Array {
  return scope(() => {
    const index = tensor(positions, { shape: [positions.length, 1], dtype: "int64", device: logWeights.device });
    return logWeights.gather(1, index).exp_().toFloat64Array();
  });
}

/**
 * The Stable Target Field (Xu, Tong and Jaakkola 2023, equation 8): the posterior mean over a set of references,
 *
 *     sum_k w_k r_k,   w = softmax_k( -||x - r_k||² / (2 sigma²) ),   x = y + sigma eps.
 *
 * It is one attention, computed as such: two matrix products and a softmax, streamed over chunks of the references with a
 * running maximum and sum. The memory is that of one chunk, never B x n x D.
 *
 * The log-weights are taken relative to the source, ||x - r||² - ||sigma eps||² = ||y - r||² + 2 sigma eps.(y - r), for at
 * small sigma the common term would swallow the difference between near-duplicates. The first part is exact: with
 * u = byte - 128 the products summed over at most 1024 values stay below 2^24, where float32 counts without error.
 */

import { full, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import type { ImageBank } from "../data/image-bank.js";
import type { PerturbedBatch, Target } from "./target.js";

/** Bytes over this are a unit in the range [-1, 1]. */
const HALF_RANGE = 127.5;
/** The byte that is subtracted to make products of bytes small. */
const CENTRE = 128;
/** Sums of this many products of centred bytes, each at most 2^14, are exact in float32. */
const EXACT_COLUMNS = 1024;

export interface StableFieldOptions {
  /** References that are held as floats at one time. */
  chunk?: number;
}

/** The queries of a batch against any chunk of references. */
interface Queries {
  /** u of the sources, float32 `[B, D]`, whole numbers. */
  readonly source: Tensor;
  /** eps, float32 `[B, D]`. */
  readonly noise: Tensor;
  /** ||u||² of the sources, float64 `[B, 1]`. */
  readonly squaredNorm: Tensor;
  /** eps.u of the sources, float64 `[B, 1]`. */
  readonly noiseDotSource: Tensor;
  /** -1 / (2 sigma² 127.5²) and -1 / (127.5 sigma), float64 `[B, 1]`. */
  readonly distanceFactor: Tensor;
  readonly noiseFactor: Tensor;
}

function queriesOf({ indices, noise, sigma }: PerturbedBatch, bank: ImageBank): Queries {
  const { device } = bank;
  const column = (value: (sigma: number) => number): Tensor =>
    tensor(Float64Array.from(sigma, value), { shape: [sigma.length, 1], device });
  const source = centred(bank.gather(indices));
  const flatNoise = noise.contiguous().view([sigma.length, bank.dimension]);
  return {
    source,
    noise: flatNoise,
    squaredNorm: bank.squaredNorms.indexSelect(0, tensor(indices, { device })).unsqueeze(1),
    noiseDotSource: flatNoise.double().mul_(source).sum(1, true),
    distanceFactor: column((level) => -0.5 / (level * HALF_RANGE) ** 2),
    noiseFactor: column((level) => -1 / (level * HALF_RANGE)),
  };
}

/** Bytes as centred float32: u = byte - 128. */
function centred(pixels: Tensor): Tensor {
  return pixels.to({ dtype: "float32" }).sub_(CENTRE);
}

/** u_i.v_j for whole numbers of at most 8 bits, exact, float64 `[B, m]`. */
function exactProducts(left: Tensor, right: Tensor): Tensor {
  const columns = left.size(1);
  const products = zeros([left.size(0), right.size(0)], { dtype: "float64", device: left.device });
  for (let first = 0; first < columns; first += EXACT_COLUMNS) {
    const width = Math.min(EXACT_COLUMNS, columns - first);
    scope(() => void products.add_(left.narrow(1, first, width).mm(right.narrow(1, first, width).t())));
  }
  return products;
}

/** log w_k - log w_source for a chunk of references, float64 `[B, m]`. */
function relativeLogits(queries: Queries, references: Tensor, squaredNorms: Tensor): Tensor {
  return scope(() => {
    // ||u_y - u_r||² = ||u_y||² + ||u_r||² - 2 u_y.u_r
    const distances = exactProducts(queries.source, references).mul_(-2).add_(queries.squaredNorm).add_(squaredNorms);
    const noiseDotDifference = queries.noiseDotSource.sub(queries.noise.mm(references.t()));
    return distances.mul_(queries.distanceFactor).addcmul_(noiseDotDifference, queries.noiseFactor);
  });
}

/** Running maximum, sum and weighted sum over the references seen so far. */
interface Accumulator {
  readonly maximum: Tensor;
  readonly sum: Tensor;
  readonly weighted: Tensor;
}

function emptyAccumulator(rows: number, dimension: number, device: ImageBank["device"]): Accumulator {
  return {
    maximum: full([rows, 1], Number.NEGATIVE_INFINITY, { dtype: "float64", device }),
    sum: zeros([rows, 1], { dtype: "float64", device }),
    weighted: zeros([rows, dimension], { device }),
  };
}

/** Adds a chunk: everything so far is rescaled to the new maximum. */
function accumulate({ maximum, sum, weighted }: Accumulator, logits: Tensor, references: Tensor): void {
  scope(() => {
    const newMaximum = maximum.maximum(logits.amax(1, true));
    // Rows that have met no allowed reference yet keep a maximum of -infinity, and must not become NaN.
    const rescale = maximum.sub(newMaximum).exp_().nanToNum_(0);
    const weights = logits.sub_(newMaximum).exp_().nanToNum_(0);
    sum.mul_(rescale).add_(weights.sum(1, true));
    weighted.mul_(rescale).addmm_(weights.float(), references);
    maximum.copy_(newMaximum);
  });
}

/** 0 where sample i may use member j of the pool, -infinity elsewhere; float64 `[B, pool]`. Undefined: all may be used. */
function windowMask(indices: Int32Array, pool: Int32Array, size: number): Float64Array | undefined {
  if (size >= pool.length) return undefined;
  const positions = new Map(Array.from(pool, (index, position) => [index, position]));
  const mask = new Float64Array(indices.length * pool.length);
  indices.forEach((index, row) => {
    const own = positions.get(index) ?? 0;
    for (let j = 0; j < pool.length; j++) {
      const distance = (j - own + pool.length) % pool.length;
      if (distance >= size) mask[row * pool.length + j] = Number.NEGATIVE_INFINITY;
    }
  });
  return mask;
}

/**
 * The stable target. With one reference per sample, the source itself, it is the denoising target, to the last bit.
 *
 * @param options.chunk - references held as floats at one time; it changes the memory, not the result
 */
export function stableFieldTarget({ chunk = 2048 }: StableFieldOptions = {}): Target {
  return (batch, { bank, pool, size }) => {
    if (size === 1) return batch.source.detach();
    return noGrad(() =>
      scope(() => {
        const rows = batch.indices.length;
        const queries = queriesOf(batch, bank);
        const result = emptyAccumulator(rows, bank.dimension, bank.device);
        const count = pool === "all" ? bank.count : pool.length;
        const mask = pool === "all" ? undefined : windowMask(batch.indices, pool, size);
        for (let first = 0; first < count; first += chunk) {
          const length = Math.min(chunk, count - first);
          scope(() => {
            const chosen =
              pool === "all" ? undefined : tensor(pool.subarray(first, first + length), { device: bank.device });
            const select = (table: Tensor): Tensor =>
              chosen ? table.indexSelect(0, chosen) : table.narrow(0, first, length);
            const references = centred(select(bank.pixels));
            const logits = relativeLogits(queries, references, select(bank.squaredNorms));
            if (mask) logits.add_(tensor(mask, { shape: [rows, count], device: bank.device }).narrow(1, first, length));
            accumulate(result, logits, references);
          });
        }
        const { channels, height, width } = bank.shape;
        const mean = result.weighted.div_(result.sum).add_(CENTRE).div_(HALF_RANGE).sub_(1);
        return mean.view([rows, channels, height, width]);
      }),
    );
  };
}

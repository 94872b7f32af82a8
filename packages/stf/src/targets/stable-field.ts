/**
 * The Stable Target Field (Xu, Tong and Jaakkola 2023, equation 8): the posterior mean over a set of references,
 *
 *     sum_k w_k r_k,   w = softmax_k( -||x - r_k||² / (2 sigma²) ),   x = y + sigma eps.
 *
 * It is one attention, computed as such: two matrix products and a softmax, streamed over chunks of the references with a
 * running maximum and sum. The memory is that of one chunk, never B x n x D.
 *
 * The log-weights are taken relative to the source, ||x - r||² - ||sigma eps||² = ||y - r||² + 2 sigma eps.(y - r), for at
 * small sigma the common term would swallow the difference between near-duplicates. The first part comes without rounding
 * from the bank, whose rows are in units that make it possible; only eps.(y - r) is rounded.
 */

import { cat, full, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import type { PerturbedBatch, Target } from "./target.js";

/** How {@link stableFieldTarget} computes. */
export interface StableFieldOptions {
  /** References that are held as floats at one time. */
  chunk?: number;
}

/** The queries of a batch against any chunk of references; u are rows in the bank's own units. */
interface Queries {
  /** u of the sources and below them eps, `[2 B, D]`: one product with the references serves both. */
  readonly sourceAndNoise: Tensor;
  /** ||u||² of the sources, float64 `[B, 1]`. */
  readonly squaredNorm: Tensor;
  /** eps.u of the sources, float64 `[B, 1]`. */
  readonly noiseDotSource: Tensor;
  /** -1 / (2 sigma² unit²) and -1 / (sigma unit), float64 `[B, 1]`. */
  readonly distanceFactor: Tensor;
  readonly noiseFactor: Tensor;
}

function queriesOf({ indices, noise, sigma }: PerturbedBatch, bank: Bank): Queries {
  const { device, unit } = bank;
  const column = (value: (sigma: number) => number): Tensor =>
    tensor(Float64Array.from(sigma, value), { shape: [sigma.length, 1], device });
  const source = bank.rows(indices);
  const flatNoise = noise.contiguous().view([sigma.length, bank.dimension]).to({ dtype: source.dtype });
  return {
    sourceAndNoise: cat([source, flatNoise]),
    squaredNorm: bank.squaredNorms.indexSelect(0, tensor(indices, { device })).unsqueeze(1),
    noiseDotSource: flatNoise.double().mul(source).sum(1, true),
    distanceFactor: column((level) => -0.5 / (level * unit) ** 2),
    noiseFactor: column((level) => -1 / (level * unit)),
  };
}

/** log w_k - log w_source for a chunk of references, float64 `[B, m]`. */
function relativeLogits(queries: Queries, bank: Bank, references: Tensor, squaredNorms: Tensor): Tensor {
  return scope(() => {
    // ||u_y - u_r||² = ||u_y||² + ||u_r||² - 2 u_y.u_r
    const products = bank.products(queries.sourceAndNoise, references);
    const [sourceProducts, noiseProducts] = products.chunk(2) as [Tensor, Tensor];
    const distances = sourceProducts.mul_(-2).add_(queries.squaredNorm).add_(squaredNorms);
    const noiseDotDifference = queries.noiseDotSource.sub(noiseProducts);
    return distances.mul(queries.distanceFactor).addcmul_(noiseDotDifference, queries.noiseFactor);
  });
}

/** Running maximum, sum and weighted sum over the references seen so far. */
interface Accumulator {
  readonly maximum: Tensor;
  readonly sum: Tensor;
  readonly weighted: Tensor;
}

function emptyAccumulator({ sourceAndNoise }: Queries): Accumulator {
  const { device, dtype } = sourceAndNoise;
  const rows = sourceAndNoise.size(0) / 2;
  return {
    maximum: full([rows, 1], Number.NEGATIVE_INFINITY, { dtype: "float64", device }),
    sum: zeros([rows, 1], { dtype: "float64", device }),
    weighted: zeros([rows, sourceAndNoise.size(1)], { dtype, device }),
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
    weighted.mul_(rescale).addmm_(weights.to({ dtype: references.dtype }), references);
    maximum.copy_(newMaximum);
  });
}

/** 0 where sample i may use member j of the pool, -infinity elsewhere; float64 `[B, pool]`. Undefined: all may be used. */
function windowMask(indices: Int32Array, pool: Int32Array, size: number): Float64Array | undefined {
  if (size >= pool.length) return undefined;
  const positions = new Map(Array.from(pool, (index, position) => [index, position]));
  const mask = new Float64Array(indices.length * pool.length);
  indices.forEach((index, row) => {
    const own = positions.get(index);
    if (own === undefined) throw new RangeError(`a source must be one of its references; item ${index} is not`);
    for (let j = 0; j < pool.length; j++) {
      const distance = (j - own + pool.length) % pool.length;
      if (distance >= size) mask[row * pool.length + j] = Number.NEGATIVE_INFINITY;
    }
  });
  return mask;
}

/**
 * The stable target (Xu, Tong and Jaakkola 2023, equation 8): sum_k w_k r_k, the mean of the references r_k, each
 * weighted by how likely it was the source of x, w = softmax_k(-||x - r_k||² / (2 sigma²)). With one reference per
 * sample, the source itself, it is the denoising target, to the last bit.
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
        const result = emptyAccumulator(queries);
        const count = pool === "all" ? bank.count : pool.length;
        const mask = pool === "all" ? undefined : windowMask(batch.indices, pool, size);
        for (let first = 0; first < count; first += chunk) {
          const length = Math.min(chunk, count - first);
          scope(() => {
            const chosen = pool === "all" ? undefined : pool.subarray(first, first + length);
            const references = chosen ? bank.rows(chosen) : bank.rowRange(first, length);
            const norms = chosen
              ? bank.squaredNorms.indexSelect(0, tensor(chosen, { device: bank.device }))
              : bank.squaredNorms.narrow(0, first, length);
            const logits = relativeLogits(queries, bank, references, norms);
            if (mask) logits.add_(tensor(mask, { shape: [rows, count], device: bank.device }).narrow(1, first, length));
            accumulate(result, logits, references);
          });
        }
        const { channels, height, width } = bank.shape;
        return bank.toValues(result.weighted.div_(result.sum)).view([rows, channels, height, width]);
      }),
    );
  };
}

/**
 * The Stable Target Field (Xu, Tong and Jaakkola 2023, equation 8): the posterior mean over a set of references,
 *
 *     sum_k w_k r_k,   w = softmax_k( -||x - r_k||² / (2 sigma²) ),   x = y + sigma eps.
 *
 * It is computed as attention: products with the references, a softmax, and a weighted sum, streamed over chunks of
 * the references with a running maximum and sum. It needs memory for the B x m weights of a chunk, never for B x n x D.
 *
 * Over a whole bank of bytes most references are left out without reading them, because a few coordinates show that they have no
 * weight (`sketch.ts`, and `rowPosteriorMean` of the tensor library).
 *
 * The log-weights are taken relative to the source, ||x - r||² - ||sigma eps||² = ||y - r||² + 2 sigma eps.(y - r), because
 * at small sigma the common term would swamp the difference between near-duplicates. The first part is exact, because the
 * bank's rows are in units that allow it; only eps.(y - r) is rounded. So x itself is never formed;
 * `posterior` is for noisy images of unknown origin.
 */

import {
  cat,
  noGrad,
  type PointsOnRays,
  relativeSquaredDistances,
  rowPosteriorMean,
  scope,
  type Tensor,
  tensor,
  weightedRowSum,
  zeros,
} from "@stf/torch";
import { column } from "../column.js";
import type { Bank } from "../data/bank.js";
import { merge } from "./partial-mean.js";
import { sketchOf } from "./sketch.js";
import type {
  PartialMean,
  PerturbedBatch,
  ReferencePart,
  ReferenceSet,
  ReferenceTarget,
  TransformedReferences,
} from "./target.js";

/** Options of {@link stableFieldTarget}. */
export interface StableFieldOptions {
  /** References whose weights are held at a time; it affects memory, not the result. 4096 when left out. */
  readonly chunk?: number;
}

/** Noisy images by their sources, in the units of a bank `[B, D]`, and their noise. */
interface Points extends Pick<PerturbedBatch, "noise" | "sigma"> {
  readonly origins: Tensor;
}

/** The noisy images, in the bank's own units, by their sources and noise. */
function perturbedPoints({ origins, noise, sigma }: Points, { device, dimension, unit }: Bank): PointsOnRays {
  return {
    origins,
    directions: noise.contiguous().view([sigma.length, dimension]),
    steps: tensor(
      sigma.map((level) => level * unit),
      { device },
    ),
  };
}

/** Computes log w_k - log w_source for some references, float64 `[B, m]`; they are rows of a bank, by index where one is given. */
function relativeLogits(points: Points, bank: Bank): (rows: Tensor, index: Tensor | undefined) => Tensor {
  const { device, unit } = bank;
  const { sigma } = points;
  const B = sigma.length;
  const perturbed = perturbedPoints(points, bank);
  const factor = tensor(
    sigma.map((level) => -0.5 / (level * unit) ** 2),
    { shape: [B, 1], device },
  );
  return (rows, index) => relativeSquaredDistances(perturbed, rows, index).mul_(factor);
}

/** Some of the references: rows of a bank, all of them or by index, and the logarithms of their weights, `[B, m]`. */
interface Chunk {
  readonly rows: Tensor;
  readonly index: Tensor | undefined;
  readonly logits: Tensor;
}

/** The posterior mean over these references only, `[B, D]`. */
function posteriorMean({ rows, index, logits }: Chunk): Tensor {
  return weightedRowSum(logits.softmax(1), rows, index);
}

function partOf(chunk: Chunk): PartialMean {
  return { mean: posteriorMean(chunk), logWeight: chunk.logits.logsumexp(1, true) };
}

/** A log-weight that is negligible beside any other; finite, because a chunk may hold nothing else. */
const FORBIDDEN = -1e300;

/**
 * 0 where sample i may use member j of a pool, {@link FORBIDDEN} elsewhere, for the members from `first` to before `end`; float64
 * `[B, end - first]`. Undefined: all may be used.
 *
 * @param items - number of items of which the pool consists if it is "all"
 */
export function windowMask(
  indices: Int32Array,
  { pool, references }: Pick<ReferenceSet, "pool" | "references">,
  items: number,
  { first, end }: { readonly first: number; readonly end: number } = { first: 0, end: Number.POSITIVE_INFINITY },
): Float64Array | undefined {
  const count = pool === "all" ? items : pool.length;
  if (references === undefined || references >= count) return undefined;
  const positions = pool === "all" ? undefined : new Map(Array.from(pool, (index, position) => [index, position]));
  const columns = Math.min(end, count) - first;
  const mask = new Float64Array(indices.length * columns);
  indices.forEach((index, row) => {
    const own = positions ? positions.get(index) : index;
    if (own === undefined) throw new RangeError(`a source must be one of its references; item ${index} is not`);
    for (let j = 0; j < columns; j++) {
      const distance = (first + j - own + count) % count;
      if (distance >= references) mask[row * columns + j] = FORBIDDEN;
    }
  });
  return mask;
}

function targetOf(batch: PerturbedBatch, references: ReferenceSet, chunk: number): Tensor {
  const { bank } = references;
  const { channels, height, width } = bank.shape;
  const mean = meanOfWhole(batch, references) ?? meanOf(batch, references, chunk);
  return bank.toValues(mean).view([batch.indices.length, channels, height, width]);
}

/**
 * The posterior mean over the whole bank, in its units, `[B, D]`; undefined for other references, for noise that is not float32, and
 * without a sketch.
 */
function meanOfWhole(batch: PerturbedBatch, { bank, pool, references, logWeights }: ReferenceSet): Tensor | undefined {
  if (pool !== "all" || (references ?? bank.count) < bank.count || logWeights) return undefined;
  if (batch.noise.dtype !== "float32") return undefined;
  const sketch = sketchOf(bank);
  const points = { ...batch, origins: bank.gather(batch.indices) };
  return sketch && rowPosteriorMean(perturbedPoints(points, bank), bank.rows, sketch);
}

/** References from a bank in chunks, with what is added to the logarithms of their weights, `[B or 1, pool]` each. */
function chunksOf(
  points: Points,
  { bank, pool }: Pick<ReferencePart, "bank" | "pool">,
  added: readonly (Tensor | undefined)[],
): { readonly count: number; at(first: number, length: number): Chunk } {
  const count = pool === "all" ? bank.count : pool.length;
  const index = pool === "all" ? undefined : tensor(pool, { device: bank.device });
  const logitsOf = relativeLogits(points, bank);
  return {
    count,
    at(first, most) {
      const length = Math.min(most, count - first);
      const chosen = index?.narrow(0, first, length);
      const rows = chosen ? bank.rows : bank.rows.narrow(0, first, length);
      const logits = logitsOf(rows, chosen);
      for (const more of added) if (more) logits.add_(more.narrow(1, first, length));
      return { rows, index: chosen, logits };
    },
  };
}

/** The mean over one reference at least, chunk by chunk. */
function streamed({ count, at }: ReturnType<typeof chunksOf>, chunk: number): PartialMean {
  let part = partOf(at(0, chunk));
  for (let first = chunk; first < count; first += chunk) {
    const previous = part;
    part = scope(() => merge(previous, partOf(at(first, chunk))));
  }
  return part;
}

/** The same over any references, streamed over chunks. */
function meanOf(batch: PerturbedBatch, references: ReferenceSet, chunk: number): Tensor {
  const { bank, logWeights } = references;
  const { device, count } = bank;
  const window = windowMask(batch.indices, references, count);
  const chunks = chunksOf({ ...batch, origins: bank.gather(batch.indices) }, references, [
    window && tensor(window, { shape: [batch.indices.length, window.length / batch.indices.length], device }),
    logWeights && tensor(logWeights, { shape: [1, logWeights.length], device }),
  ]);
  return chunks.count <= chunk ? posteriorMean(chunks.at(0, chunk)) : scope(() => streamed(chunks, chunk).mean);
}

/** The mean over those references that one of several processes has. */
function meanOfPart(points: Points, references: ReferencePart, chunk: number): PartialMean {
  const { bank, logWeights } = references;
  const { device, dimension } = bank;
  const samples = points.sigma.length;
  const count = references.pool === "all" ? bank.count : references.pool.length;
  if (count === 0) {
    return {
      mean: zeros([samples, dimension], { dtype: bank.rows.dtype === "uint8" ? "float32" : bank.rows.dtype, device }),
      logWeight: zeros([samples, 1], { dtype: "float64", device }).fill_(Number.NEGATIVE_INFINITY),
    };
  }
  const added = logWeights && tensor(logWeights, { shape: [samples, count], device });
  return streamed(chunksOf(points, references, [added]), chunk);
}

/**
 * The same over references with the sample's own transform, from their differences to the source. In whole grey levels
 * these are exact, so the float32 rounding of their transforms is relative to the distance, even for near-duplicates.
 */
function targetOfTransformed(
  { source, noise, sigma }: PerturbedBatch,
  { differences, logWeights }: TransformedReferences,
): Tensor {
  const [samples, count] = differences.shape as [number, number];
  const dimension = source.numel / samples;
  const rows = differences.view([samples, count, dimension]);
  const squares = rows.square().sum(2).double();
  const alongNoise = rows
    .mul(noise.reshape([samples, 1, dimension]))
    .sum(2)
    .double();
  const factorOf = (value: (level: number) => number): Tensor => column(sigma.map(value), squares);
  const logits = alongNoise.mul(factorOf((level) => 1 / level)).sub(squares.mul(factorOf((level) => 0.5 / level ** 2)));
  if (logWeights) logits.add_(logWeights);
  // The source itself is known: its log-weight is 0, and it adds nothing to the difference.
  const weights = cat([logits, zeros([samples, 1], { dtype: "float64", device: logits.device })], 1)
    .softmax(1)
    .narrow(1, 0, count);
  const shift = weights.to({ dtype: rows.dtype }).unsqueeze(1).bmm(rows);
  return source.add(shift.view(source.shape)).float();
}

/**
 * The stable target (Xu, Tong and Jaakkola 2023, equation 8): sum_k w_k r_k, the mean of the references r_k, each
 * weighted by the probability that it is the source of x, w = softmax_k(-||x - r_k||² / (2 sigma²)). Of one reference per sample,
 * the source itself, the weight is 1 and the mean the denoising target, to the last bit.
 */
export function stableFieldTarget({ chunk = 4096 }: StableFieldOptions = {}): ReferenceTarget {
  return {
    needsReferences: true,
    of: (batch, references) => noGrad(() => scope(() => targetOf(batch, references, chunk))),
    ofTransformed: (batch, references) => noGrad(() => scope(() => targetOfTransformed(batch, references))),
    ofPart: (batch, origins, part) => noGrad(() => scope(() => meanOfPart({ ...batch, origins }, part, chunk))),
  };
}

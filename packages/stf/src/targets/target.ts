/** Training targets: one interface, so that training and analysis can swap targets freely. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { type AugmentationParameters, transformOf } from "../augmentation/parameters.js";
import { column } from "../column.js";
import type { Bank } from "../data/bank.js";

/** Noisy samples x = y + sigma eps, as their components. B samples of shape `[C, H, W]`. */
export interface PerturbedBatch {
  /** Index of each sample's source image in the bank, `[B]`. */
  readonly indices: Int32Array;
  /** The source images y, after augmentation, float32 `[B, C, H, W]` in [-1, 1]. */
  readonly source: Tensor;
  /** Standard normal noise eps, float32 `[B, C, H, W]`. */
  readonly noise: Tensor;
  /** Noise level of each sample, `[B]`, positive. */
  readonly sigma: Float64Array;
  /** Class of each sample, `[B]`, negative if the label is dropped; undefined if the data have no classes. */
  readonly classes?: Int32Array | undefined;
  /** The transform of each source; undefined without augmentation. */
  readonly augmentation?: AugmentationParameters | undefined;
}

/** The noisy images x = y + sigma eps, unscaled: the input of a denoiser. `[B, C, H, W]`, of the dtype of the source. */
export function perturbedImages({ source, noise, sigma }: PerturbedBatch): Tensor {
  return scope(() => source.addcmul(noise, column(sigma, source)));
}

/** Some samples of a batch, by row. */
export function selectSamples(batch: PerturbedBatch, rows: readonly number[]): PerturbedBatch {
  const { indices, source, noise, sigma, classes, augmentation } = batch;
  return scope(() => {
    const chosen = tensor(Int32Array.from(rows), { device: source.device });
    const at = <T>(values: ArrayLike<T>): T[] => rows.map((row) => values[row] as T);
    return {
      indices: Int32Array.from(at(indices)),
      source: source.indexSelect(0, chosen),
      noise: noise.indexSelect(0, chosen),
      sigma: Float64Array.from(at(sigma)),
      classes: classes && Int32Array.from(at(classes)),
      augmentation: augmentation && {
        ...augmentation,
        transforms: rows.map((row) => transformOf(augmentation, row)),
      },
    };
  });
}

/** The images that may have been the source: a set of indices into the bank. */
export interface ReferenceSet {
  /** The bank with the images. */
  readonly bank: Bank;
  /** Distinct indices that include every source, or "all" for the whole bank, in its order. */
  readonly pool: Int32Array | "all";
  /**
   * Number of references per sample, including its own; the whole pool when left out. When smaller than the pool, a sample
   * uses that many consecutive members of the pool, cyclically, from its own source on: then the pool must be in random
   * order, or the position of the source is revealed and the target biased.
   */
  readonly references?: number | undefined;
  /**
   * Added to the log-weights of the members of the pool, one per member; zero when left out. For references that are not
   * equally likely to be drawn it is minus the logarithm of the probability with which each is.
   */
  readonly logWeights?: Float64Array | undefined;
}

/** References with the transform of their sample, the same number for each of B samples. */
export interface TransformedReferences {
  /** T r_k - T y for every reference but the source, `[B, K, C, H, W]`; K may be 0. */
  readonly differences: Tensor;
  /** As those of a {@link ReferenceSet}, relative to the source's, float64 `[B, K]`. */
  readonly logWeights?: Tensor | undefined;
}

/** Those references of some samples that one of several processes has. */
export interface ReferencePart {
  /** The bank that has them; its indices may be others than those of the samples' sources. */
  readonly bank: Bank;
  /** Distinct indices into it, none perhaps, or "all". */
  readonly pool: Int32Array | "all";
  /** Added to the log-weights, float64 `[B, pool]`; zero when left out. */
  readonly logWeights?: Float64Array | undefined;
}

/** The weighted mean of some references, which can be combined with that of others. */
export interface PartialMean {
  /** In the units of the bank, `[B, D]`. */
  readonly mean: Tensor;
  /** The logarithm of the sum of their weights relative to the source's, float64 `[B, 1]`; minus infinity without references. */
  readonly logWeight: Tensor;
}

/** A target that needs only the samples. */
export interface SampleTarget {
  /** No references are drawn for it. */
  readonly needsReferences: false;
  /** What the denoiser should return for each sample, float32 `[B, C, H, W]`, without a gradient. */
  of(batch: PerturbedBatch): Tensor;
}

/** A target that is computed from the images that may have been the source. */
export interface ReferenceTarget {
  /** It is asked with references, one at least. */
  readonly needsReferences: true;
  /** What the denoiser should return for each sample, float32 `[B, C, H, W]`, without a gradient. */
  of(batch: PerturbedBatch, references: ReferenceSet): Tensor;
  /**
   * The same for samples with a transform that is no flip. Left out, `of` is asked about one sample at a time, with a bank
   * of its transformed references.
   */
  ofTransformed?(batch: PerturbedBatch, references: TransformedReferences): Tensor;
  /**
   * What a part of the references of the samples contributes to the target, for a mean over references. Left out, the references
   * cannot be divided among processes.
   *
   * @param origins - the sources in the units of the bank, `[B, D]`, which need not be among the references
   */
  ofPart?(batch: Pick<PerturbedBatch, "noise" | "sigma">, origins: Tensor, references: ReferencePart): PartialMean;
}

/** A training target: the desired output of the denoiser for each sample, with or without references. */
export type Target = SampleTarget | ReferenceTarget;

/** What a network is trained on: one interface, so that training and analysis swap targets freely. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { type AugmentationParameters, transformOf } from "../augmentation/parameters.js";
import type { Bank } from "../data/bank.js";

/** Noisy samples and how they were made. B samples of shape `[C, H, W]`. */
export interface PerturbedBatch {
  /** Index of each sample's source image in the bank, `[B]`. */
  readonly indices: Int32Array;
  /** The source images y, augmented where they were, float32 `[B, C, H, W]` in [-1, 1]. */
  readonly source: Tensor;
  /** Standard normal noise eps, float32 `[B, C, H, W]`. */
  readonly noise: Tensor;
  /** Noise level of each sample, `[B]`, positive. */
  readonly sigma: Float64Array;
  /** y + sigma eps, float32 `[B, C, H, W]`: the unscaled noisy image. */
  readonly perturbed: Tensor;
  /** Class of each sample, `[B]`, negative where the network is not told; undefined where the data have none. */
  readonly classes?: Int32Array | undefined;
  /** The transform that each source went through; undefined where none did. */
  readonly augmentation?: AugmentationParameters | undefined;
}

/** Some samples of a batch, by row. */
export function selectSamples(batch: PerturbedBatch, rows: readonly number[]): PerturbedBatch {
  const { indices, source, noise, sigma, perturbed, classes, augmentation } = batch;
  return scope(() => {
    const chosen = tensor(Int32Array.from(rows), { device: source.device });
    const at = <T>(values: ArrayLike<T>): T[] => rows.map((row) => values[row] as T);
    return {
      indices: Int32Array.from(at(indices)),
      source: source.indexSelect(0, chosen),
      noise: noise.indexSelect(0, chosen),
      sigma: Float64Array.from(at(sigma)),
      perturbed: perturbed.indexSelect(0, chosen),
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
  /** Where the images are. */
  readonly bank: Bank;
  /** Different indices among which every source occurs, or "all" for the whole bank. */
  readonly pool: Int32Array | "all";
  /**
   * How many references a sample uses, itself included. When smaller than the pool, a sample uses that many consecutive
   * members of the pool, cyclically, from its own source on.
   */
  readonly size: number;
}

/**
 * Computes what the denoiser should return for each sample, float32 `[B, C, H, W]`. A constant for the network: no
 * gradient flows through it.
 */
export type Target = (batch: PerturbedBatch, references: ReferenceSet) => Tensor;

/** The noisy samples of training. Each depends only on the seed and its own number. */

import { type Device, Generator, keyedNormal, randn, scope, stack, type Tensor } from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { drawAugmentation } from "../augmentation/parameters.js";
import type { AugmentationSettings } from "../augmentation/settings.js";
import type { Bank } from "../data/bank.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { PerturbedBatch } from "../targets/target.js";

/** The settings that determine the noisy samples of a run. */
export interface PerturbSettings {
  /** Seed of all random numbers of the run. */
  readonly seed: number;
  /** The distribution of the noise levels. */
  readonly noiseLevels: NoiseLevels;
  /** Augmentation of the sources; none when left out. */
  readonly augmentation?: AugmentationSettings | undefined;
  /** Probability of dropping a sample's class label; 0 when left out. */
  readonly labelDropout?: number;
}

/** The class of a sample whose label is dropped. */
const NO_CLASS = -1;

/**
 * Standard normal noise of samples, `[B, ...shape]`, by their keys. On the CPU each sample reseeds the generator, as in
 * earlier versions; on a GPU that would take a launch per sample.
 */
function noiseOf(keys: readonly bigint[], shape: readonly number[], device: Device): Tensor {
  if (device !== "cpu") {
    const columns = shape.reduce((product, size) => product * size, 1);
    return scope(() => keyedNormal(keys, columns, device).view([keys.length, ...shape]));
  }
  using generator = new Generator(0);
  return scope(() => stack(keys.map((key) => randn(shape, { generator: generator.manualSeed(key) }))));
}

/** The class of each sample as passed to the network, `[B]`; undefined if the data have no classes. */
function classesOf(
  samples: readonly number[],
  indices: Int32Array,
  { labels }: Bank,
  { seed, labelDropout = 0 }: PerturbSettings,
): Int32Array | undefined {
  const isWithheld = (sample: number): boolean =>
    labelDropout > 0 && new KeyedRandom(randomKey(seed, "labelDropout", sample)).uniform() < labelDropout;
  return labels && indices.map((index, i) => (isWithheld(samples[i] as number) ? NO_CLASS : (labels[index] as number)));
}

/** The noise levels of the samples of the given global numbers. */
export function levelsOf(
  samples: readonly number[],
  { seed, noiseLevels }: Pick<PerturbSettings, "seed" | "noiseLevels">,
): Float64Array {
  return Float64Array.from(samples, (sample) => noiseLevels(new KeyedRandom(randomKey(seed, "noiseLevel", sample))));
}

/**
 * Makes the noisy samples of the given global numbers. Each sample depends only on the seed and its own number.
 *
 * @param samples - numbers of the samples since the start of training, B of them
 * @param indices - their items in the bank, `[B]`
 */
export function perturb(
  samples: readonly number[],
  indices: Int32Array,
  bank: Bank,
  settings: PerturbSettings,
): PerturbedBatch {
  const { seed, noiseLevels } = settings;
  const { channels, height, width } = bank.shape;
  const shape = [channels, height, width];
  const sigma = levelsOf(samples, { seed, noiseLevels });
  const classes = classesOf(samples, indices, bank, settings);
  const augmentation = settings.augmentation && drawAugmentation(settings.augmentation, bank.shape, seed, samples);
  return scope(() => {
    const images = bank.toValues(bank.gather(indices)).view([samples.length, ...shape]);
    const keys = samples.map((sample) => randomKey(seed, "noise", sample));
    return {
      indices,
      source: augmentation ? applyAugmentation(images, augmentation) : images,
      noise: noiseOf(keys, shape, bank.device),
      sigma,
      classes,
      augmentation,
    };
  });
}

/** The noisy samples of training. Each depends on the seed and its own number only. */

import { type Device, Generator, keyedNormal, randn, scope, stack, type Tensor } from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { drawAugmentation } from "../augmentation/parameters.js";
import type { AugmentationSettings } from "../augmentation/settings.js";
import type { Bank } from "../data/bank.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { PerturbedBatch } from "../targets/target.js";

/** What decides the noisy samples of a run. */
export interface PerturbSettings {
  /** Of every random number of the run. */
  readonly seed: number;
  /** The distribution of the noise levels. */
  readonly noiseLevels: NoiseLevels;
  /** How sources are transformed; not at all when left out. */
  readonly augmentation?: AugmentationSettings | undefined;
  /** Share of samples whose class the network is not told; 0 when left out. */
  readonly labelDropout?: number;
}

/** Stands for the class of a sample whose label is withheld. */
const NO_CLASS = -1;

/**
 * Standard normal noise of samples, `[B, ...shape]`, by their keys. On the CPU each sample starts the generator anew, as
 * ever; on a GPU that would be a launch for every sample.
 */
function noiseOf(keys: readonly bigint[], shape: readonly number[], device: Device): Tensor {
  if (device !== "cpu") {
    const columns = shape.reduce((product, size) => product * size, 1);
    return scope(() => keyedNormal(keys, columns, device).view([keys.length, ...shape]));
  }
  using generator = new Generator(0);
  return scope(() => stack(keys.map((key) => randn(shape, { generator: generator.manualSeed(key) }))));
}

/** The class of every sample that the network is told, `[B]`; undefined where the data have none. */
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

/**
 * Makes the noisy samples of the given global numbers. Every sample depends on the seed and its own number only.
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
  const sigma = Float64Array.from(samples, (sample) =>
    noiseLevels(new KeyedRandom(randomKey(seed, "noiseLevel", sample))),
  );
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

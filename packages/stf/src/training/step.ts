/** One training step: everything between the clock's two readings. */

import {
  cat,
  type Device,
  type Generator,
  keyedNormal,
  Recomputation,
  randn,
  scope,
  stack,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { augmentationLabels } from "../augmentation/labels.js";
import { drawAugmentation } from "../augmentation/parameters.js";
import type { DataOrder } from "../data/order.js";
import { type Conditions, DropoutKeys, oneHot } from "../networks/network.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { PerturbedBatch } from "../targets/target.js";
import { emaDecay, learningRate } from "./schedules.js";
import type { TrainingState } from "./state.js";
import { type ReferenceData, stepTargets, type TargetSettings } from "./targets.js";

/** What training keeps fixed. Amounts are in images. */
export interface TrainingSettings extends TargetSettings {
  /** Images in a step. */
  readonly batch: number;
  /** Largest number of samples that go through the network at once. */
  readonly microBatch: number;
  /** As {@link learningRate} takes it. */
  readonly learningRate: {
    /** The rate after the ramp. */
    readonly peak: number;
    /** Images over which it rises from 0; 0 for no ramp. */
    readonly rampup: number;
  };
  /** As {@link emaDecay} takes it. */
  readonly ema: {
    /** Images after which an old value counts half. */
    readonly halflife: number;
    /** Cuts the halflife to this multiple of the images seen; null leaves it. */
    readonly rampupRatio: number | null;
  };
  /** Factor on the loss, and so on its gradients. */
  readonly lossScaling: number;
  /** The law of the noise levels. */
  readonly noiseLevels: NoiseLevels;
  /** Keeps fewer activations for the backward pass and computes them again: less memory, about a third more time. */
  readonly recompute?: boolean;
  /** Share of samples whose class the network is not told. Their references stay those of the class. */
  readonly labelDropout?: number;
}

/** What training draws samples from. */
export interface TrainingData extends ReferenceData {
  /** Which item each sample is made from. */
  readonly order: DataOrder;
  /** Reseeded for every sample. */
  readonly generator: Generator;
}

/** Moments of the weighted squared error, lambda(sigma) (D(x; sigma) - target)², over all values of a batch. */
export interface StepLoss {
  /** Its mean. */
  readonly mean: number;
  /** The mean of its square. */
  readonly meanSquare: number;
  /** Number of values: images times D. */
  readonly count: number;
}

/** The loss or a gradient is not a finite number. Nothing was updated. */
export class DivergenceError extends Error {
  override readonly name = "DivergenceError";
}

/**
 * Standard normal noise of samples, `[B, ...shape]`, by their keys. On the CPU each sample starts the generator anew, as
 * ever; on a GPU that would be a launch for every sample.
 */
function noiseOf(keys: readonly bigint[], shape: readonly number[], generator: Generator, device: Device): Tensor {
  if (device !== "cpu") {
    const columns = shape.reduce((product, size) => product * size, 1);
    return scope(() => keyedNormal(keys, columns, device).view([keys.length, ...shape]));
  }
  return scope(() => stack(keys.map((key) => randn(shape, { generator: generator.manualSeed(key) }))));
}

/** Stands for the class of a sample whose label is withheld. */
const NO_CLASS = -1;

/**
 * Makes the noisy samples of the given global numbers. Every sample depends on the seed and its own number only.
 *
 * @param samples - numbers of the samples since the start of training, B of them
 * @param indices - their items in the bank, `[B]`
 */
export function perturb(
  samples: readonly number[],
  indices: Int32Array,
  { bank, generator }: TrainingData,
  { seed, noiseLevels, labelDropout = 0, augmentation: settings }: TrainingSettings,
): PerturbedBatch {
  const { channels, height, width } = bank.shape;
  const shape = [channels, height, width];
  const { device } = bank;
  const sigma = Float64Array.from(samples, (sample) =>
    noiseLevels(new KeyedRandom(randomKey(seed, "noiseLevel", sample))),
  );
  return scope(() => {
    const images = bank.toValues(bank.gather(indices)).view([samples.length, ...shape]);
    const augmentation = settings && drawAugmentation(settings, bank.shape, seed, samples);
    const source = augmentation ? applyAugmentation(images, augmentation) : images;
    const keys = samples.map((sample) => randomKey(seed, "noise", sample));
    const noise = noiseOf(keys, shape, generator, device);
    const levels = tensor(sigma, { shape: [samples.length, 1, 1, 1], dtype: "float32", device });
    const classes = bank.labels && indices.map((index) => bank.labels?.[index] ?? 0);
    if (classes && labelDropout > 0) {
      samples.forEach((sample, i) => {
        const random = new KeyedRandom(randomKey(seed, "labelDropout", sample));
        if (random.uniform() < labelDropout) classes[i] = NO_CLASS;
      });
    }
    return { indices, source, noise, sigma, perturbed: source.addcmul(noise, levels), classes, augmentation };
  });
}

/**
 * lambda(sigma) (D(x; sigma) - target)², `[B, C, H, W]`.
 *
 * @param options - as the network takes them
 */
export function weightedError(
  state: TrainingState,
  batch: PerturbedBatch,
  target: Tensor,
  options: Pick<Conditions, "dropout" | "recomputation"> = {},
): Tensor {
  return scope(() => {
    const { network } = state;
    const { preconditioning } = network;
    const weights = tensor(
      Float64Array.from(batch.sigma, (sigma) => preconditioning.lossWeight(sigma)),
      { shape: [batch.sigma.length, 1, 1, 1], dtype: "float32", device: target.device },
    );
    const labels = batch.classes && network.labelDim > 0 ? oneHot(batch.classes, network.labelDim, target) : undefined;
    const augmentLabels = batch.augmentation && augmentationLabels(batch.augmentation, target.device);
    const output = network.forward(batch.perturbed, batch.sigma, { labels, augmentLabels, ...options });
    return output.sub(target).square().mul(weights);
  });
}

/**
 * Adds the gradient of one step's loss, sum over pixels and mean over samples, to the flat gradients.
 *
 * @returns the sums of the weighted squared errors and of their squares, float64 `[2]`: where they were computed, for whoever
 * reads them waits for a GPU
 */
function accumulateGradients(state: TrainingState, data: TrainingData, settings: TrainingSettings): Tensor {
  const { batch, microBatch, lossScaling } = settings;
  const first = state.images;
  const indices = data.order.range(first, batch);
  using targets = stepTargets(data, settings, first, indices);
  const sums = zeros([2], { dtype: "float64", device: data.bank.device });
  for (let begin = 0; begin < batch; begin += microBatch) {
    const end = Math.min(begin + microBatch, batch);
    scope(() => {
      const samples = Array.from({ length: end - begin }, (_, i) => first + begin + i);
      const part = perturb(samples, indices.subarray(begin, end), data, settings);
      const dropout = new DropoutKeys(settings.seed, first + begin);
      using recomputation = settings.recompute ? new Recomputation() : undefined;
      const error = weightedError(state, part, targets.targetsOf(part, begin), { dropout, recomputation });
      error
        .sum()
        .mul(lossScaling / batch)
        .backward();
      recomputation?.backward();
      const values = error.detach();
      sums.add_(stack([values.sum(), values.square().sum()]).double());
    });
  }
  return sums;
}

/**
 * Takes one step and advances the clock: the gradient of lambda(sigma) ||D(x; sigma) - target||², the mean over the
 * batch, through Adam, and then the average.
 *
 * @throws DivergenceError when the loss or a gradient is not finite; the weights and the clock are as before then.
 */
export function trainingStep(state: TrainingState, data: TrainingData, settings: TrainingSettings): StepLoss {
  const { images, parameters, optimizer, ema } = state;
  const { batch } = settings;
  parameters.zeroGrad();
  const [sum = 0, squares = 0, norm = 0] = scope(() => {
    const sums = accumulateGradients(state, data, settings);
    return cat([sums, parameters.gradients.linalgVectorNorm().double().view([1])]).toFloat64Array();
  });
  const count = batch * data.bank.dimension;
  const loss: StepLoss = { mean: sum / count, meanSquare: squares / count, count };
  if (!Number.isFinite(loss.mean) || !Number.isFinite(norm)) {
    throw new DivergenceError(
      `training diverged after ${images} images: the loss is ${loss.mean}, the norm of the gradient ${norm}; ` +
        "go on from an earlier state with a lower --lr or a longer --lr-rampup",
    );
  }
  const decay = emaDecay(images, { batch, ...settings.ema });
  optimizer.step(learningRate(images, settings.learningRate), { ema, decay });
  state.images += batch;
  return loss;
}

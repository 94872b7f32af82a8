/** Training of a classifier on labelled images, and its accuracy. */

import { Adam, FlatParameters, manualSeed, noGrad, scope, type Tensor, tensor } from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { drawAugmentation } from "../augmentation/parameters.js";
import { type AugmentationSettings, augmentationSettings } from "../augmentation/settings.js";
import type { ImageBank } from "../data/image-bank.js";
import { classCount } from "../data/labels.js";
import { DataOrder } from "../data/order.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { Classifier } from "./classifier.js";

/** Images of two sets: one to train on, one to measure the accuracy with. */
export interface Division {
  /** Indices, in ascending order. */
  readonly training: Int32Array;
  /** Indices, in ascending order. */
  readonly heldOut: Int32Array;
}

/**
 * Divides images at random so that each class contributes the same share of its images to the second set, rounded, but at least
 * one image if it has two.
 *
 * @param labels - class of each image
 * @param share - in (0, 1)
 */
export function holdOut(labels: Int32Array, share: number, seed: number): Division {
  const all = Int32Array.from(labels.keys());
  const heldOut = new Set<number>();
  for (const label of new Set(labels)) {
    const members = all.filter((index) => labels[index] === label);
    const count = Math.min(members.length - 1, Math.max(1, Math.round(share * members.length)));
    const random = new KeyedRandom(randomKey(seed, "heldOut", label));
    for (const position of random.permutation(members.length).subarray(0, count))
      heldOut.add(members[position] as number);
  }
  return { training: all.filter((i) => !heldOut.has(i)), heldOut: all.filter((i) => heldOut.has(i)) };
}

/** The share of a training in which the learning rate rises. */
const RISE = 0.2;

/**
 * The learning rate as a fraction of its peak: a linear rise from 0 during the first fifth, then a linear fall to 0. A triangle,
 * as in Smith and Topin 2019, trains to a given accuracy in a fraction of the steps that a constant rate needs.
 *
 * @param progress - share of the training that is done, in [0, 1]
 */
export function triangle(progress: number): number {
  return progress < RISE ? progress / RISE : (1 - progress) / (1 - RISE);
}

/** Probability that a training label gives away to all classes alike (Szegedy et al. 2016, section 7). */
const SMOOTHING = 0.1;

/** Decoupled weight decay. */
const WEIGHT_DECAY = 0.05;

/** Cross entropy of class scores with smoothed labels, the mean over the batch; scores `[B, classes]`, labels int64 `[B]`. */
export function classificationLoss(logits: Tensor, labels: Tensor): Tensor {
  return logits.crossEntropyLoss(labels, null, 1, -100, SMOOTHING);
}

/** How a classifier is trained. */
export interface ClassifierSettings {
  /** Number of features. */
  readonly dimension: number;
  /** Channels of the first stage. */
  readonly width: number;
  /** How many times each image is seen. */
  readonly epochs: number;
  /** Images in a step; all of them if there are fewer. */
  readonly batch: number;
  /** The largest learning rate. */
  readonly lr: number;
  /** Whether half of the images are mirrored. */
  readonly xflip: boolean;
  /** Decides the initial weights, the order of the images and their shifts. */
  readonly seed: number;
}

/** How far a training is. */
export interface ClassifierProgress {
  /** Images seen. */
  readonly images: number;
  /** Images seen at the end. */
  readonly totalImages: number;
  /** Loss of the last step. */
  readonly loss: number;
}

/** What {@link trainClassifier} calls. */
export interface ClassifierHooks {
  /** After every step; the network is that of the moment. */
  onStep?(progress: ClassifierProgress, network: Classifier): void;
  /** Asked before every step; true ends the training. */
  shouldStop?(): boolean;
}

/** Largest shift, relative to the image. */
const LARGEST_SHIFT = 1 / 16;

const shiftsWith = (xflip: boolean): AugmentationSettings =>
  augmentationSettings({
    probability: 1,
    multipliers: { translateInt: 1, xflip: xflip ? 1 : 0 },
    strengths: { translateIntMax: LARGEST_SHIFT },
  });

const labelsOf = (bank: ImageBank, indices: Int32Array): Tensor =>
  tensor(
    indices.map((index) => bank.labels?.[index] ?? 0),
    { dtype: "int64", device: bank.device },
  );

function imagesOf(bank: ImageBank, indices: Int32Array): Tensor {
  const { channels, height, width } = bank.shape;
  return scope(() => bank.toValues(bank.gather(indices)).view([indices.length, channels, height, width]));
}

/** A weight keeps 11 significant bits, so that a file of half the size holds it exactly. */
function roundToHalf(network: Classifier): void {
  noGrad(() =>
    scope(() => {
      for (const weight of network.parameters()) weight.copy_(weight.to({ dtype: "float16" }));
    }),
  );
}

/**
 * Trains a classifier: cross entropy with smoothed labels, Adam with decoupled weight decay, a triangular learning rate, random
 * shifts by at most a sixteenth of the image. The final weights are rounded to half precision. The same settings, images and
 * number of threads give the same weights, bit for bit, on a CPU.
 *
 * @param bank - images with labels, on the device to train on
 * @param indices - the images to train on
 * @returns the network in evaluation mode, or undefined when the hooks ended the training
 * @throws InputError for images that are too small; Error when the loss is not finite
 */
export function trainClassifier(
  bank: ImageBank,
  indices: Int32Array,
  { dimension, width, epochs, batch, lr, xflip, seed }: ClassifierSettings,
  { onStep, shouldStop }: ClassifierHooks = {},
): Classifier | undefined {
  manualSeed(randomKey(seed, "weights"));
  const network = new Classifier({ shape: bank.shape, classes: classCount(bank), dimension, width }).to(bank.device);
  const parameters = new FlatParameters(network);
  const optimizer = new Adam(parameters, { weightDecay: WEIGHT_DECAY });
  const order = new DataOrder(indices.length, seed);
  const augmentation = shiftsWith(xflip);
  const size = Math.min(batch, indices.length);
  const steps = Math.max(1, Math.floor((epochs * indices.length) / size));
  const stepWith = (first: number): number =>
    scope(() => {
      const samples = Array.from({ length: size }, (_, i) => first + i);
      const chosen = order.range(first, size).map((position) => indices[position] as number);
      const images = applyAugmentation(
        imagesOf(bank, chosen),
        drawAugmentation(augmentation, bank.shape, seed, samples),
      );
      parameters.zeroGrad();
      const loss = classificationLoss(network.forward(images).logits, labelsOf(bank, chosen));
      loss.backward();
      return loss.item();
    });
  try {
    for (let step = 0; step < steps; step++) {
      if (shouldStop?.()) {
        network.dispose();
        return undefined;
      }
      const loss = stepWith(step * size);
      if (!Number.isFinite(loss)) {
        network.dispose();
        throw new Error(`training diverged after ${step * size} images: the loss is ${loss}; try a lower 'lr'`);
      }
      optimizer.step(lr * triangle((step + 1) / (steps + 1)));
      onStep?.({ images: (step + 1) * size, totalImages: steps * size, loss }, network);
    }
    roundToHalf(network);
    return network.eval();
  } finally {
    optimizer.dispose();
    parameters.dispose();
  }
}

/** Images that are classified at once. */
const AT_ONCE = 256;

/** The number of images whose class has the largest score. */
export function countCorrect(network: Classifier, bank: ImageBank, indices: Int32Array): number {
  let correct = 0;
  for (let first = 0; first < indices.length; first += AT_ONCE) {
    const chosen = indices.subarray(first, first + AT_ONCE);
    correct += noGrad(() =>
      scope(() => {
        const { logits } = network.forward(imagesOf(bank, chosen));
        return logits.argmax(1).eq(labelsOf(bank, chosen)).sum().item();
      }),
    );
  }
  return correct;
}

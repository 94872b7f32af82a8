/** From options to the objects of a training run. */

import { augmentDim } from "../augmentation/labels.js";
import { type AugmentationSettings, augmentationSettings } from "../augmentation/settings.js";
import { UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import { abbreviated } from "../common/text.js";
import type { DividedBank } from "../data/divided-bank.js";
import type { ImageBank } from "../data/image-bank.js";
import { classCount, type Numbering } from "../data/labels.js";
import { DataOrder } from "../data/order.js";
import { conversionCommand, suggestedSide } from "../data/suggested-conversion.js";
import type { NetworkConfig } from "../networks/build.js";
import type { Constants } from "../preconditioning/constants.js";
import { denoisingTarget } from "../targets/denoising.js";
import type { IsNeeded, ReferenceRule } from "../targets/references.js";
import { stableFieldTarget } from "../targets/stable-field.js";
import { posteriorWindow, sigmaRange } from "../targets/window.js";
import type { LoopOptions } from "../training/loop.js";
import type { TrainingData, TrainingSettings } from "../training/step.js";
import { networkSize } from "./network-size.js";
import { statedConstants } from "./noise-options.js";
import type { ResolvedOptions } from "./resolved-options.js";
import type { TrainOptions } from "./train-options.js";

/** The transforms of the training images; undefined for none. */
const augmentationOf = ({ augment }: TrainOptions): AugmentationSettings | undefined =>
  augment > 0 ? augmentationSettings({ probability: augment }) : undefined;

/** @param source - constants of the preconditioning, where the options state none; the published ones when left out */
export function networkConfig(options: TrainOptions, bank: ImageBank, source?: Constants): NetworkConfig {
  const augmentation = augmentationOf(options);
  const constants = { ...source, ...statedConstants(options) };
  return {
    arch: options.arch,
    precond: options.precond,
    ...(Object.keys(constants).length > 0 && { constants }),
    shape: bank.shape,
    ...networkSize(options.arch, options),
    dropout: options.dropout,
    labelDim: options.cond ? classCount(bank) : 0,
    augmentDim: augmentation ? augmentDim(augmentation) : 0,
  };
}

/** @throws UsageError when the images are not square, too few for the options, or lack the classes that the options require. */
export function checkAgainstData(options: TrainOptions, bank: ImageBank): void {
  const { arch, batch, stf, rbatch, cond, augment, stfAugment, stfRef } = options;
  const { count } = bank;
  const { height, width } = bank.shape;
  if (arch !== "mlp" && height !== width) {
    throw new UsageError(
      `'data' must hold square images, as the networks require, found ${width}x${height}; make squares of them: ${conversionCommand(options.data ?? bank.name, suggestedSide(Math.min(width, height)))}`,
    );
  }
  const classes = classCount(bank);
  if (cond && classes === 0) {
    throw new UsageError(
      `'cond' needs class labels, and ${bank.name} has none${bank.unlabelled === undefined ? "" : `: ${bank.unlabelled}`}; add a dataset.json, put each class in a folder of its own, or train without 'cond'`,
    );
  }
  if (cond && classes > bank.count) {
    throw new UsageError(
      `'cond' needs classes numbered 0, 1, 2, ...; the ${bank.count} images have labels up to ${classes - 1}`,
    );
  }
  if (stf && augment > 0 && stfAugment === "independent") {
    if (cond && stfRef === "class") {
      throw new UsageError("'stfAugment=independent', the published behavior, ignores classes; add 'stfRef=any'");
    }
    if (rbatch === "all") {
      throw new UsageError("'stfAugment=independent' needs a number of references, such as 'rbatch=1024'");
    }
  }
  // All at once, so that fixing one does not reveal the next.
  const limits = [
    batch > count && `'batch' must be at most the ${count} images of the data set, found ${batch}`,
    stf &&
      rbatch !== "all" &&
      rbatch > count &&
      `'rbatch' must be at most the ${count} images of the data set, or "all", found ${rbatch}`,
  ].filter((text) => text !== false);
  if (limits.length > 0) throw new UsageError(limits.join("; "));
}

/** A line for each property of the images that makes an option pointless. */
export function notesOnData(options: TrainOptions, bank: ImageBank): string[] {
  return options.cond && new Set(bank.labels).size === 1
    ? [`'cond' has no effect: all ${bank.count} images have the same class, number ${bank.labels?.[0]}`]
    : [];
}

/** What a training state records about the run's original images; empty if an earlier version wrote it. */
export interface SavedData {
  /** Their number. */
  readonly images: unknown;
  /** Their {@link digestOfImages}. */
  readonly imagesDigest: unknown;
  /** Names of the classes, by number; null if they have none. */
  readonly classNames: unknown;
}

/** Names from a file; undefined if it has none. */
export function storedNames(value: unknown): readonly string[] | undefined {
  return Array.isArray(value) && value.every((name) => typeof name === "string") ? value : undefined;
}

/**
 * How a run's classes are numbered: as when it was started. Runs that did not store the names sorted them as text.
 */
export function numberingOf(saved: SavedData | undefined): Numbering {
  if (!saved) return "natural";
  return storedNames(saved.classNames) ?? (saved.classNames === undefined ? "text" : "natural");
}

/** @throws UsageError when the class names differ from those that the run was started with */
function checkSameNames(saved: SavedData, { classNames: found }: ImageBank): void {
  const names = storedNames(saved.classNames);
  if (!names || !found || (names.length === found.length && names.every((name, i) => name === found[i]))) return;
  const [lacking, added] = [
    names.filter((name) => !found.includes(name)),
    found.filter((name) => !names.includes(name)),
  ];
  const lacks = lacking.length > 0 ? [`it lacks ${abbreviated(lacking)}`] : [];
  const has = added.length > 0 ? [`it also has ${abbreviated(added)}`] : [];
  const differences = [...lacks, ...has].join(" and ");
  throw new UsageError(
    `'data' must have the ${names.length} classes that the run was started with (${abbreviated(names)}); ${differences || "their order differs"}`,
  );
}

/** @throws UsageError when a resumed run is given different images. */
export function checkSameData(
  saved: SavedData,
  { shape, labelDim = 0 }: NetworkConfig,
  bank: ImageBank,
  digest: string,
): void {
  const { images, imagesDigest } = saved;
  const started = "that the run was started with";
  const [wanted, found] = [formatImageShape(shape), formatImageShape(bank.shape)];
  if (wanted !== found) throw new UsageError(`'data' must have the images of ${wanted} ${started}, found ${found}`);
  if (labelDim > 0) checkSameNames(saved, bank);
  if (typeof images === "number" && images !== bank.count) {
    throw new UsageError(`'data' must have the ${images} images ${started}, found ${bank.count} in ${bank.name}`);
  }
  if (labelDim > 0 && labelDim !== classCount(bank)) {
    throw new UsageError(
      `'data' must have the ${labelDim} classes ${started}, found ${classCount(bank)}${bank.unlabelled === undefined ? "" : `: ${bank.unlabelled}`}`,
    );
  }
  if (typeof imagesDigest === "string" && imagesDigest !== digest) {
    throw new UsageError(
      `'data' must have exactly the images and labels ${started}; those of ${bank.name} differ in a pixel, a label or their order`,
    );
  }
}

/** Whether each of several processes holds a part of the images only. */
export const dividesImages = ({ stf, stfShard, rbatch }: TrainOptions): boolean => stf && stfShard && rbatch === "all";

const millions = (value: number): number => Math.round(value * 1e6);

/** With more images, comparing all pairs takes longer than it saves. */
const MOST_COMPARED = 250_000;

/** Whether the distances between images decide where targets are computed, so that they are worth computing. */
export function usesDistances(options: TrainOptions, count: number): boolean {
  const { stf, stfSigma, stfAugment, rbatch, augment, cond } = options;
  const isConsistent = stfAugment === "consistent" || augment === 0;
  const isCostly = rbatch === "all" || ((augment > 0 || cond) && rbatch > 1);
  return stf && stfSigma === "auto" && isConsistent && isCostly && count <= MOST_COMPARED;
}

/** How the weights are averaged. */
export function averageSettings({ ema, transfer }: TrainOptions): TrainingSettings["ema"] {
  // Transferred weights are worth averaging from the start.
  return { halflife: millions(ema), rampupRatio: transfer === null ? 0.05 : null };
}

/** @param distances - those of `nearestDistances`, if `usesDistances` is true */
export function trainingSettings(options: ResolvedOptions, distances?: Float64Array): TrainingSettings {
  return {
    seed: options.seed,
    batch: options.batch,
    microBatch: Math.min(options.batchGpu ?? options.batch, options.batch),
    clip: options.clip ?? undefined,
    learningRate: { peak: options.lr, rampup: millions(options.lrRampup) },
    ema: averageSettings(options),
    lossScaling: options.ls,
    recompute: options.recompute,
    labelDropout: options.cond ? options.labelDropout : 0,
    target: options.stf ? stableFieldTarget() : denoisingTarget,
    augmentation: augmentationOf(options),
    ...referenceRule(options, distances),
  };
}

function referenceRule(options: TrainOptions, distances: Float64Array | undefined): ReferenceRule {
  return {
    references: options.rbatch,
    sameClass: options.cond && options.stfRef === "class",
    referenceAugmentation: options.stfAugment,
    warpedReferences: options.rbatchAugment,
    isNeeded: targetWindow(options, distances),
    isDivided: options.stfShard,
  };
}

function targetWindow({ stfSigma }: TrainOptions, distances: Float64Array | undefined): IsNeeded | undefined {
  if (stfSigma !== "auto") return sigmaRange(...stfSigma);
  return distances && posteriorWindow(distances);
}

export function trainingData(bank: ImageBank | DividedBank, { seed }: ResolvedOptions): TrainingData {
  return { bank, order: new DataOrder(bank.count, seed) };
}

export function loopOptions(options: ResolvedOptions): LoopOptions {
  return {
    totalImages: Math.max(millions(options.duration), 1),
    timeLimit: options.timeLimit === null ? Number.POSITIVE_INFINITY : 60 * options.timeLimit,
    imagesPerTick: 1000 * options.tick,
    snapshotTicks: options.snap,
    stateTicks: options.dump,
    mostSkipped: options.maxSkipped,
    saveSeconds: options.saveEvery > 0 ? 60 * options.saveEvery : Number.POSITIVE_INFINITY,
  };
}

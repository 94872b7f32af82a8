/**
 * Files of trained classifiers: safetensors with the weights in half precision, and JSON metadata that say what it was trained
 * on and how accurate it is.
 */

import {
  type Device,
  FileFormatError,
  FlatParameters,
  isSafetensors,
  readSafetensorsMetadata,
  saveSafetensors,
  scope,
  type Tensor,
} from "@stf/torch";
import { digestOf } from "../common/file-digest.js";
import { Classifier, type ClassifierConfig, classifierFeatures, SMALLEST_SIZE } from "../features/classifier.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { FEATURES_FORMAT, metadataField, openStored } from "./stored-file.js";

/** How accurate a classifier is, and on which images. */
export interface ClassifierAccuracy {
  /** Images whose class has the largest score. */
  readonly correct: number;
  /** Images that were classified; none of them was trained on. */
  readonly images: number;
  /** Where they come from: "held out", or the name of a test set. */
  readonly from: string;
}

/** What a classifier was trained on, and how. */
export interface ClassifierDescription {
  /** Name of the data set. */
  readonly data: string;
  /** SHA-256 of its images and labels, those held out included. */
  readonly dataDigest: string;
  /** Images trained on. */
  readonly images: number;
  /** Names of the classes by number, if they have names. */
  readonly classNames: readonly string[] | null;
  /** How accurate it is. */
  readonly accuracy: ClassifierAccuracy;
  /** How many times each image was seen. */
  readonly epochs: number;
  /** Images in a step. */
  readonly batch: number;
  /** The largest learning rate. */
  readonly lr: number;
  /** Whether half of the images were mirrored. */
  readonly xflip: boolean;
  /** Seed of the weights, the order of the images, their shifts, and of which are held out. */
  readonly seed: number;
}

/** One line for people. */
function titleOf({ classes }: ClassifierConfig, { data, accuracy }: ClassifierDescription): string {
  const { correct, images, from } = accuracy;
  const share = (correct / images).toFixed(4);
  return `classifier of the ${classes} classes of ${data}, accuracy ${share} on ${images} images (${from})`;
}

/**
 * Writes a trained classifier. Its weights are those of {@link trainClassifier}, which half precision holds exactly.
 *
 * @throws errors of the file system, such as a full disk
 */
export function saveClassifier(path: string, network: Classifier, about: ClassifierDescription): void {
  scope(() => {
    const weights = Array.from(network.stateDict(), ([name, weight]): [string, Tensor] => [
      name,
      weight.detach().to({ dtype: "float16" }).contiguous(),
    ]);
    saveSafetensors(path, new Map(weights), {
      format: FEATURES_FORMAT,
      network: JSON.stringify({ kind: "classifier", ...network.config }),
      training: JSON.stringify(about),
    });
  });
}

/** Whether a file is a classifier that {@link saveClassifier} wrote, by its metadata. False for files that cannot be read. */
export function isClassifierFile(path: string): boolean {
  try {
    return isSafetensors(path) && readSafetensorsMetadata(path)["format"] === FEATURES_FORMAT;
  } catch {
    return false;
  }
}

const isWhole = (value: unknown, least: number): boolean => Number.isSafeInteger(value) && (value as number) >= least;

/** Sizes that fit the tensors of the file, so that a damaged file cannot ask for more memory than it holds. */
function checkConfig(path: string, config: ClassifierConfig, tensors: ReadonlyMap<string, Tensor>): void {
  const { shape, classes, dimension, width: first } = Object(config) as ClassifierConfig;
  const { channels, height, width } = Object(shape) as ClassifierConfig["shape"];
  const fits =
    String(tensors.get("head.weight")?.shape) === String([classes, dimension]) &&
    String(tensors.get("stage0.first.conv.weight")?.shape) === String([first, channels, 3, 3]) &&
    [height, width].every((size) => isWhole(size, SMALLEST_SIZE));
  if (!fits) throw new FileFormatError(`${path} cannot be used: its "network" does not fit its tensors; it is damaged`);
}

/** @throws FileFormatError when what the title names is missing */
function checkDescription(path: string, about: ClassifierDescription): void {
  const { data, accuracy } = Object(about) as ClassifierDescription;
  const { correct, images, from } = Object(accuracy) as ClassifierAccuracy;
  if (typeof data === "string" && typeof from === "string" && isWhole(correct, 0) && isWhole(images, 1)) return;
  throw new FileFormatError(`${path} cannot be used: its "training" is missing or damaged`);
}

/** A classifier as a feature network, with everything that its file says about it. */
export interface StoredClassifier extends FeatureNetwork {
  /** The sizes of the network. */
  readonly config: ClassifierConfig;
  /** What it was trained on, and how. */
  readonly about: ClassifierDescription;
}

/**
 * Reads a classifier that `stf features train` wrote.
 *
 * @throws InputError when the file does not exist or is of another kind; FileFormatError when it is damaged. Both name it.
 */
export async function readClassifier(
  path: string,
  { device = "cpu" }: { readonly device?: Device } = {},
): Promise<StoredClassifier> {
  const { tensors, metadata } = openStored(path, FEATURES_FORMAT, "classifier for features");
  try {
    const config = metadataField(path, metadata, "network") as ClassifierConfig;
    const about = metadataField(path, metadata, "training") as ClassifierDescription;
    checkConfig(path, config, tensors);
    checkDescription(path, about);
    const network = new Classifier(config);
    try {
      network.loadStateDict(tensors);
    } catch (cause) {
      network.dispose();
      throw new FileFormatError(`${path} cannot be used: ${(cause as Error).message}`, { cause });
    }
    // The memory layout of training, so that it is as fast and rounds alike. The parameters keep the storage.
    new FlatParameters(network.to(device), { trainable: false }).dispose();
    const features = classifierFeatures(network, { title: titleOf(config, about), sha256: await digestOf(path) });
    return Object.assign(features, { config, about });
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

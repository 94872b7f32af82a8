/** Networks that describe images by features, in which the metrics compare sets of images. */

import type { Device, Tensor } from "@stf/torch";

/** What a feature network computes for a batch. */
export interface ExtractedFeatures {
  /** float32 `[B, dimension]` */
  readonly features: Tensor;
  /** Class scores before softmax, float32 `[B, classes]`; undefined for a network without classes. */
  readonly logits: Tensor | undefined;
}

/**
 * A trained network that is used as a measuring device. Features of an image do not depend on the other images of its batch,
 * so that sets can be divided in any way.
 */
export interface FeatureNetwork {
  /** Short name in file names and reports, such as "inception", "dinov2" or "classifier". */
  readonly name: string;
  /** One line for people: what it is and what it was trained on. */
  readonly title: string;
  /** SHA-256 of the file that it was read from, 64 hexadecimal digits: numbers of different networks do not compare. */
  readonly sha256: string;
  /** How images of another size are resized to the network's, as the protocol names it, such as "tensorflow-bilinear-299". */
  readonly resize: string;
  /** Number of features. */
  readonly dimension: number;
  /** Number of classes; 0 for a network without logits. */
  readonly classes: number;
  /** Where it computes. */
  readonly device: Device;
  /**
   * @param images - uint8 `[B, C, H, W]` with one or three channels
   * @throws InputError when it cannot describe such images
   */
  extract(images: Tensor): ExtractedFeatures;
  /** Frees the weights. */
  dispose(): void;
}

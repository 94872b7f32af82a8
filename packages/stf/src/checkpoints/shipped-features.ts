/** The classifier that comes with the program, so that a first run can measure its images without any other file. */

import { fileURLToPath } from "node:url";
import type { Device } from "@stf/torch";
import { readClassifier, type StoredClassifier } from "./classifier-file.js";

/** Path of the classifier of Fashion-MNIST. docs/features.md has the command that made it. */
export const shippedFeaturesPath = fileURLToPath(new URL("../../assets/fashion-mnist.safetensors", import.meta.url));

/**
 * The classifier of Fashion-MNIST that comes with the program: 64 features of grey images of 28x28. `about.dataDigest` tells
 * whether images are those that it was trained on.
 */
export function shippedFeatures(options: { readonly device?: Device } = {}): Promise<StoredClassifier> {
  return readClassifier(shippedFeaturesPath, options);
}

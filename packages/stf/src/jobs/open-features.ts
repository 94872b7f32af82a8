/** The feature network that a request names. */

import { resolve } from "node:path";
import type { Device } from "@stf/torch";
import { isClassifierFile, readClassifier } from "../checkpoints/classifier-file.js";
import { loadFeatureNetwork } from "../checkpoints/feature-network-file.js";
import { shippedFeaturesPath } from "../checkpoints/shipped-features.js";
import type { FeatureNetwork } from "../features/feature-network.js";

/** The name of the classifier that comes along. */
const SHIPPED = "fashion-mnist";

/** What {@link openFeatures} takes, for another working folder. */
export const absoluteFeatures = (name: string): string => (name === SHIPPED ? name : resolve(name));

/**
 * Opens a feature network: a file with the Inception of FID, a classifier that `stf features train` wrote, or by its name the one
 * that comes along.
 *
 * @throws InputError or FileFormatError naming the file, when it is missing, damaged, or another network
 */
export async function openFeatures(name: string, device: Device): Promise<FeatureNetwork> {
  const path = name === SHIPPED ? shippedFeaturesPath : name;
  return isClassifierFile(path) ? await readClassifier(path, { device }) : await loadFeatureNetwork(path, { device });
}

/** The reference of an evaluation: the images of a data set, or statistics of their features from a file. */

import { readStatistics } from "../checkpoints/statistics-file.js";
import { InputError } from "../common/errors.js";
import { digestOf } from "../common/file-digest.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { featureStatistics } from "../metrics/feature-statistics.js";
import type { Facts } from "../run/protocol.js";
import { type CollectOptions, collect, featureFacts } from "./feature-set.js";
import type { ImageSource } from "./image-source.js";
import type { Reference } from "./quality.js";

/** A reference, and how a protocol tells it from others. */
export interface OpenedReference extends Reference {
  readonly facts: Facts;
  dispose(): void;
}

/**
 * Statistics from a file.
 *
 * @throws InputError when they cannot be read, or are those of other features
 */
export async function storedReference(path: string, network: FeatureNetwork): Promise<OpenedReference> {
  const { statistics, protocol } = await readStatistics(path);
  const { mean, covariance } = statistics;
  const dispose = (): void => {
    mean.dispose();
    covariance.dispose();
  };
  const refuse = (found: string): InputError => {
    dispose();
    return new InputError(
      `${path} must have the statistics of the features of ${network.title}, found ${found}; compute them with 'stf fid ref'`,
    );
  };
  if (mean.numel !== network.dimension) throw refuse(`${mean.numel} features instead of ${network.dimension}`);
  const features = protocol?.method["features"];
  if (features && JSON.stringify(features) !== JSON.stringify(featureFacts(network))) {
    throw refuse(
      `those of ${features["name"]} ${String(features["sha256"]).slice(0, 8)}, resized by ${features["resize"]}`,
    );
  }
  const facts = protocol?.method["reference"] ?? { statistics_sha256: await digestOf(path) };
  return { statistics, set: undefined, facts, dispose };
}

/** How a protocol tells a set of reference images from others. */
export function referenceFacts({ protocol: { subject, method } }: ImageSource): Facts {
  return { sha256: subject["images_sha256"] ?? null, ...method["images"] };
}

/**
 * The features of reference images.
 *
 * @returns undefined in all processes but the first
 * @throws InputError when the network cannot describe them; Stopped when the job is to stop
 */
export async function imageReference(
  source: ImageSource,
  options: Omit<CollectOptions, "title">,
): Promise<OpenedReference | undefined> {
  const set = await collect(source, { ...options, title: "reference" });
  if (!set) return undefined;
  const statistics = set.features && featureStatistics(set.features);
  return {
    set,
    statistics,
    facts: referenceFacts(source),
    dispose: () => {
      set.dispose();
      statistics?.mean.dispose();
      statistics?.covariance.dispose();
    },
  };
}

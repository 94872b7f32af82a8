/** Distances between the images of a training. */

import type { TrainOptions } from "../config/train-options.js";
import { usesDistances } from "../config/training.js";
import { nearestDistances } from "../data/neighbours.js";
import type { JobContext } from "./context.js";
import type { TrainingBank } from "./shared-images.js";

/**
 * From each image to its nearest other one, if that saves work in every step; undefined otherwise. Several processes compute a part of
 * the distances each.
 */
export function distancesOf(
  bank: TrainingBank,
  options: TrainOptions,
  { reporter, team }: Pick<JobContext, "reporter" | "team">,
): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const ofPart = team ? " of this process" : "";
  const distances = nearestDistances(
    bank,
    (done, total) => reporter.update(`comparing images: ${done} of ${total}${ofPart}`),
    team,
  );
  reporter.clear();
  return distances;
}

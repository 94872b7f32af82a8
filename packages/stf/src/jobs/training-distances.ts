/** Distances between the images of a training. */

import type { TrainOptions } from "../config/train-options.js";
import { usesDistances } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import { nearestDistances } from "../data/neighbours.js";
import type { Reporter } from "./context.js";

/** From each image to its nearest other one, if that saves work in every step; undefined otherwise. */
export function distancesOf(bank: ImageBank, options: TrainOptions, reporter: Reporter): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const distances = nearestDistances(bank, (done, total) => reporter.update(`comparing images: ${done} of ${total}`));
  reporter.clear();
  return distances;
}

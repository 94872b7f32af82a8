/** Distances between the images of a training, which decide where its targets are computed. */

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
    { ranks: team },
  );
  reporter.clear();
  return distances;
}

/** Images that are compared with all others in an estimate: two blocks of those that are compared at a time. */
const COMPARED = 4096;

/** What comparing all images would take, from some of them. */
export interface EstimatedDistances {
  /** Distances as {@link distancesOf} returns them: those of some images stand for the others. */
  readonly distances: Float64Array | undefined;
  /** Seconds for all images. */
  readonly seconds: number;
}

/** Compares some of the images with all. */
export function estimateDistances(
  bank: TrainingBank,
  options: TrainOptions,
  { now, reporter }: Pick<JobContext, "now" | "reporter">,
): EstimatedDistances {
  if (!usesDistances(options, bank.count)) return { distances: undefined, seconds: 0 };
  reporter.update("comparing some of the images");
  const start = now();
  const reached: { readonly done: number; readonly seconds: number }[] = [];
  const found = nearestDistances(bank, (done) => void reached.push({ done, seconds: now() - start }), {
    count: Math.min(COMPARED, bank.count),
  });
  reporter.clear();
  const [first, last] = [reached[0], reached.at(-1)] as [(typeof reached)[number], (typeof reached)[number]];
  // The first block comes after what all of them need.
  const each = last.done > first.done ? (last.seconds - first.seconds) / (last.done - first.done) : 0;
  return {
    distances: Float64Array.from({ length: bank.count }, (_, i) => found[i % found.length] as number),
    seconds: last.seconds + each * (bank.count - last.done),
  };
}

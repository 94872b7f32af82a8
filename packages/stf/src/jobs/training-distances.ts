/** Distances between the images of a training, which decide where its targets are computed. */

import type { TrainOptions } from "../config/train-options.js";
import { usesDistances } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import { nearestDistances } from "../data/neighbours.js";
import type { JobContext, Reporter } from "./context.js";

/** Distances between the images, `[N]`, if they save work in every step. */
export function distancesOf(bank: ImageBank, options: TrainOptions, reporter: Reporter): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const distances = nearestDistances(bank, (done, total) => reporter.update(`comparing images: ${done} of ${total}`));
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
  bank: ImageBank,
  options: TrainOptions,
  { now, reporter }: Pick<JobContext, "now" | "reporter">,
): EstimatedDistances {
  if (!usesDistances(options, bank.count)) return { distances: undefined, seconds: 0 };
  reporter.update("comparing some of the images");
  const start = now();
  const reached: { readonly done: number; readonly seconds: number }[] = [];
  const found = nearestDistances(
    bank,
    (done) => void reached.push({ done, seconds: now() - start }),
    Math.min(COMPARED, bank.count),
  );
  reporter.clear();
  const [first, last] = [reached[0], reached.at(-1)] as [(typeof reached)[number], (typeof reached)[number]];
  // The first block comes after what all of them need.
  const each = last.done > first.done ? (last.seconds - first.seconds) / (last.done - first.done) : 0;
  return {
    distances: Float64Array.from({ length: bank.count }, (_, i) => found[i % found.length] as number),
    seconds: last.seconds + each * (bank.count - last.done),
  };
}

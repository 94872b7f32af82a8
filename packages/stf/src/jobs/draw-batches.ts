/** Drawing seeds batch by batch, in memory. */

import type { Tensor } from "@stf/torch";
import type { Rank } from "../common/ranks.js";
import { formatDuration } from "../common/text.js";
import { generateImages } from "../sampling/generate.js";
import type { StepReport } from "../sampling/sampler.js";
import { checkStop, type JobContext } from "./context.js";
import type { Drawing } from "./drawing.js";

/**
 * The batches of one of several processes: every size-th of an even split of the seeds.
 *
 * @param batch - most images in a batch
 */
export function batchesOfRank(
  seeds: readonly number[],
  batch: number,
  { rank, size }: Pick<Rank, "rank" | "size">,
): number[][] {
  const count = Math.ceil(seeds.length / (batch * size)) * size;
  // The first ones are longer by one if the seeds do not divide evenly.
  const start = (k: number): number => k * Math.floor(seeds.length / count) + Math.min(k, seeds.length % count);
  return Array.from({ length: count }, (_, k) => seeds.slice(start(k), start(k + 1))).filter(
    (own, k) => k % size === rank && own.length > 0,
  );
}

/** Images of a batch. */
export interface DrawnBatch {
  readonly seeds: readonly number[];
  /** uint8 `[seeds.length, C, H, W]`; freed when the next batch is requested. */
  readonly images: Tensor;
  /** The class of each image; undefined when the network has no classes. */
  readonly classes: readonly number[] | undefined;
}

/** How much has been drawn so far. */
export class DrawingTally {
  /** Images drawn. */
  images = 0;
  batches = 0;
  /** Network evaluations of a batch, summed over the batches. */
  evaluations = 0;
  /** Evaluations of the analytic part of a batch, summed over the batches. */
  analyticEvaluations = 0;
  readonly #now: () => number;
  readonly #start: number;

  /** @param now - a clock in seconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#start = now();
  }

  /** Seconds since the tally was begun. */
  get seconds(): number {
    return this.#now() - this.#start;
  }

  /** Network evaluations per image; undefined if none was drawn. */
  get evaluationsPerImage(): number | undefined {
    return this.batches === 0 ? undefined : this.evaluations / this.batches;
  }

  /** Evaluations of the analytic part per image; undefined if no image was drawn. */
  get analyticPerImage(): number | undefined {
    return this.batches === 0 ? undefined : this.analyticEvaluations / this.batches;
  }
}

/**
 * Draws batches of seeds one after the other, with a line of progress. Nothing is written: the caller takes each batch.
 *
 * @param tally - counts what is drawn, also when drawing is stopped
 * @param onStep - called after every step of the sampler
 * @throws Stopped when the job is to stop; SamplingError when a pixel is not finite.
 */
export function* drawBatches(
  { request, snapshot, conditions }: Drawing,
  batches: readonly (readonly number[])[],
  context: JobContext,
  tally: DrawingTally = new DrawingTally(context.now),
  onStep?: (report: StepReport) => void,
): Generator<DrawnBatch, void, void> {
  const { class: label } = request;
  const all = batches.reduce((sum, { length }) => sum + length, 0);
  const before = tally.images;
  const show = (done: number): void => {
    const rate = (before + done) / tally.seconds;
    const left = formatDuration((all - done) / rate);
    context.reporter.update(`${Math.floor(done)} of ${all} images  ${rate.toFixed(1)} images/s  ${left} left`);
  };
  for (const seeds of batches) {
    const { images, classes } = generateImages(snapshot.denoiser, seeds, {
      ...conditions,
      classes: label === null ? undefined : seeds.map(() => label),
      onEvaluation: () => void tally.evaluations++,
      onAnalytic: () => void tally.analyticEvaluations++,
      onStep: (report) => {
        onStep?.(report);
        checkStop(context);
        show(tally.images - before + seeds.length * report.progress);
      },
    });
    tally.batches++;
    tally.images += seeds.length;
    try {
      yield { seeds, images, classes };
    } finally {
      images.dispose();
    }
  }
}

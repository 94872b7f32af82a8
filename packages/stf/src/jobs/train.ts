/** Training as a job: from a request to a run folder. */

import { dirname, join } from "node:path";
import type { Tensor } from "@stf/torch";
import { runWriter } from "../checkpoints/run-writer.js";
import { writeGrid } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import { removePartialFiles } from "../common/folders.js";
import { formatDuration } from "../common/text.js";
import type { TrainOptions } from "../config/train-options.js";
import type { TrainRequest } from "../config/train-request.js";
import { loopOptions, trainingData, trainingSettings, usesDistances } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import { nearestDistances } from "../data/neighbours.js";
import { samplesPath } from "../run/files.js";
import { makeNewFolder, makeNumberedFolder } from "../run/folder.js";
import { generateImages } from "../sampling/generate.js";
import { type LoopResult, type Progress, type TrainingWriter, trainingLoop } from "../training/loop.js";
import { disposeState, type TrainingState } from "../training/state.js";
import { checkStop, type JobContext, jobContext, type Reporter, Stopped } from "./context.js";
import { withinMemory } from "./memory.js";
import { type Written, writeOrRescue } from "./rescue.js";
import { RunFolder } from "./run-folder.js";
import { memoryAdvice, planTraining, type TrainingPlan } from "./training-plan.js";

/** How a training ended, and where everything is. */
export interface TrainResult {
  /** "complete": the run had seen all its images before. */
  readonly reason: LoopResult["reason"] | "complete";
  /** The run folder. */
  readonly folder: string;
  /** Images trained on, those of earlier parts of the run included. */
  readonly images: number;
  /** As of the last step; undefined where there was none. */
  readonly progress?: Progress;
  /** Path of the last network snapshot. */
  readonly snapshot?: string;
  /** Path of the last training state. */
  readonly state?: string;
  /** Path of a grid of images that the averaged network has drawn; undefined when the training was stopped. */
  readonly samples?: string;
  /** What could not be written, or not where it was to be, in one line. */
  readonly problem?: string;
}

/** "12.8 kimg  loss 0.2113  152.0 images/s  1m 24s elapsed, 4m 10s left" */
export function formatProgress({ images, loss, imagesPerSecond, elapsed, remaining }: Progress): string {
  return [
    `${(images / 1000).toFixed(1).padStart(7)} kimg`,
    `loss ${loss.toFixed(4)}`,
    `${imagesPerSecond.toFixed(imagesPerSecond < 10 ? 2 : 1)} images/s`,
    `${formatDuration(elapsed)} elapsed, ${formatDuration(remaining)} left`,
  ].join("  ");
}

function runDescription({ options, bank }: TrainingPlan): string {
  const parts = [
    bank.name,
    options.cond ? "cond" : "uncond",
    options.arch,
    options.precond,
    options.stf ? `stf${options.rbatch}` : "dsm",
  ];
  return [...parts, `batch${options.batch}`, options.precision, ...(options.desc === null ? [] : [options.desc])].join(
    "-",
  );
}

function folderOf(plan: TrainingPlan): string {
  const { options, resumed } = plan;
  if (resumed !== undefined) return dirname(resumed);
  if (options.name === null) return makeNumberedFolder(options.outdir, runDescription(plan));
  return makeNewFolder(join(options.outdir, options.name));
}

/** How far apart the images are, where that saves work in every step. */
function distancesOf(bank: ImageBank, options: TrainOptions, reporter: Reporter): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const distances = nearestDistances(bank, (done, total) => reporter.update(`comparing images: ${done} of ${total}`));
  reporter.clear();
  return distances;
}

/** Draws a grid with the averaged network. Returns where it is; undefined when it was stopped. */
async function drawSamples(
  { averaged, images }: TrainingState,
  bank: ImageBank,
  folder: string,
  context: JobContext,
): Promise<Written | undefined> {
  const { reporter, now } = context;
  const { labelDim } = averaged;
  const columns = 8;
  const rows = labelDim > 0 ? Math.min(labelDim, 16) : 8;
  const seeds = Array.from({ length: rows * columns }, (_, i) => i);
  const start = now();
  let drawn: Tensor;
  try {
    drawn = generateImages(averaged, seeds, {
      classes: seeds.map((seed) => Math.floor(seed / columns)),
      onStep: ({ progress }) => {
        checkStop(context);
        reporter.update(`drawing ${seeds.length} images: ${Math.floor(100 * progress)} %`);
      },
    });
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    reporter.clear();
    return undefined;
  }
  const pictures = imagesOf(drawn);
  drawn.dispose();
  const written = await writeOrRescue(samplesPath(folder, images), (path) =>
    writeGrid(path, pictures, bank.shape, columns),
  );
  reporter.print(
    `drew ${seeds.length} images with the averaged weights${labelDim > 0 ? ", a row per class," : ""} in ${formatDuration(now() - start)}: ${written.path}`,
  );
  return written;
}

const endings = { finished: "finished", "time limit": "the time limit was reached", stopped: "stopped" } as const;

/** Trains as planned. Frees the plan's network and images. */
export async function runTraining(plan: TrainingPlan, context: JobContext = jobContext()): Promise<TrainResult> {
  const { options, bank, network, state, digest } = plan;
  try {
    const folder = folderOf(plan);
    const loop = loopOptions(options);
    if (state.images >= loop.totalImages) return { reason: "complete", folder, images: state.images };
    removePartialFiles(folder);
    const run = new RunFolder(folder, options, context.reporter, plan.resumed);
    const { reporter } = run;
    for (const line of plan.description) reporter.print(line);
    reporter.print(`run folder  ${folder}`);
    if (plan.resumed !== undefined) reporter.print(`resumed     at ${state.images} images from ${plan.resumed}`);
    const settings = trainingSettings(options, distancesOf(bank, options, reporter));
    const data = trainingData(bank, options);
    const writerFor = (place: string): TrainingWriter =>
      runWriter(place, {
        network,
        options: { ...options, images: bank.count, imagesDigest: digest },
        about: { data: bank.name, seed: options.seed, labelDropout: settings.labelDropout ?? 0 },
      });
    const result = await withinMemory(
      () =>
        `${memoryAdvice(options)}${run.latestState === undefined ? "" : `; the latest training state is ${run.latestState}`}`,
      () =>
        trainingLoop(state, data, settings, loop, run.writer(writerFor), {
          onStep: (progress) => reporter.update(formatProgress(progress)),
          onTick: (progress) => reporter.print(formatProgress(progress)),
          shouldStop: () => context.shouldStop(),
          now: () => context.now(),
        }),
    );
    const { snapshot, state: saved, problem: moved } = run.keep(result, state, writerFor);
    const { reason, progress } = result;
    reporter.print(`${endings[reason]} after ${state.images} images; saved ${snapshot}`);
    const samples =
      reason === "stopped" || moved !== undefined
        ? undefined
        : await withinMemory(
            () =>
              `the training is saved; draw fewer images at once by stf generate, such as 'batch=4', from ${snapshot}`,
            () => drawSamples(state, bank, folder, { ...context, reporter }),
          );
    const problem = moved ?? samples?.problem ?? run.unwritten();
    return {
      ...{ reason, folder, images: state.images, progress, snapshot, state: saved },
      ...(samples !== undefined && { samples: samples.path }),
      ...(problem !== undefined && { problem }),
    };
  } finally {
    disposeState(state);
    bank.dispose();
  }
}

/**
 * Trains a network on images: reads them, makes or finds the run folder, trains until the duration, the time limit or
 * `context.shouldStop` says so, saves, and draws some images.
 *
 *     const { snapshot } = await train({ data: "my-photos", stf: true, rbatch: 1024, duration: 0.2 });
 *
 * @throws UsageError for a request that cannot be; InputError and FileFormatError for files that cannot be used;
 * DivergenceError when the loss or a gradient is not finite.
 */
export async function train(request: TrainRequest, context: JobContext = jobContext()): Promise<TrainResult> {
  return await runTraining(await planTraining(request, context), context);
}

/** Time and memory of a planned training, without training: time from a few steps, memory by counting. */

import { elementCount } from "@stf/torch";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { loopOptions, trainingData, trainingSettings } from "../config/training.js";
import { activationsPerImage, drawnPerImage } from "../networks/activations.js";
import type { Precision } from "../networks/architectures.js";
import { forwardFlops, PASSES_PER_STEP } from "../networks/flops.js";
import type { JobContext } from "./context.js";
import { measureSteps } from "./measure.js";
import { memoryAdvice } from "./training-description.js";
import { estimateDistances } from "./training-distances.js";
import type { TrainingPlan } from "./training-plan.js";
import { mostDrawn } from "./training-samples.js";

/** Expected time and memory of a training. */
export interface TrainingEstimate {
  /** Images per second, as measured. */
  readonly imagesPerSecond: number;
  /** Images trained on until the duration or the time limit is reached. */
  readonly images: number;
  /** Seconds for those images, once training is under way. */
  readonly seconds: number;
  /** Seconds before that, once: for comparing the images with each other, and for what the first step prepares. */
  readonly preparation: number;
  /** Steps for those images. */
  readonly steps: number;
  /** Number of trained parameters. */
  readonly parameters: number;
  /** Floating-point operations of the network, a multiplication and an addition counting as two. */
  readonly flops: {
    /** Of one forward pass over one image. */
    readonly forward: number;
    /** Of a training step: both passes over all its images, without the targets. */
    readonly step: number;
  };
  /** Bytes. */
  readonly memory: {
    /** Weights, gradients, moments and averages. */
    readonly state: number;
    /** The images. */
    readonly images: number;
    /** Activations that a step keeps for the gradient, an estimate: it depends on the images per forward pass. */
    readonly activations: number;
    /** Activations of drawing the samples, an estimate: it is not needed at the same time as those of a step. */
    readonly drawing: number;
    /** The whole process at its peak; on a GPU, what of the above is needed at once. */
    readonly peak: number;
  };
}

/** Bytes of an activation, with the parts of a network that keep float32: measured in bf16 on a CPU. */
const bytesOf: Readonly<Record<Precision, number>> = { fp32: 4, tf32: 4, bf16: 2.6, fp16: 2.6 };

/** Days of training that nobody starts by mistake. */
const MANY_DAYS = 7;

/**
 * Warnings on a training that this machine cannot finish, in memory or in a reasonable time.
 *
 * @param available - bytes of memory
 */
export function warningsOn(
  { seconds, memory }: { readonly seconds: number; readonly memory: Pick<TrainingEstimate["memory"], "peak"> },
  options: ResolvedOptions,
  available: number,
): string[] {
  const days = seconds / 86_400;
  const span = days < 730 ? `${Math.round(days)} days` : `${Math.round(days / 365)} years`;
  const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
  return [
    ...(days > MANY_DAYS
      ? [
          `that is ${span} on this machine; 'timeLimit' ends it earlier, and 'preset=auto' chooses settings for the time`,
        ]
      : []),
    ...(options.device === "cpu" && memory.peak > available
      ? [
          `the memory of this machine is ${gib(available)}, and training needs ${gib(memory.peak)}; ${memoryAdvice(options)}`,
        ]
      : []),
  ];
}

/**
 * Time and memory of a plan. It measures with the plan's own network, which must not be trained afterwards.
 *
 * @throws Stopped when the job is to stop
 */
export function estimateTraining(plan: TrainingPlan, context: JobContext): TrainingEstimate {
  const { options, bank, network, state, stateBytes } = plan;
  const { microBatch } = trainingSettings(options);
  const { totalImages, timeLimit } = loopOptions(options);
  const { modelChannels, channelMult, numBlocks, attnResolutions, arch, shape } = network;
  const config = { arch, shape, modelChannels, channelMult, numBlocks, attnResolutions };
  const bytes = bytesOf[options.precision];
  const activations = activationsPerImage(config, options.recompute) * microBatch * bytes;
  const drawing = drawnPerImage(config) * mostDrawn(state.network.labelDim) * bytes;
  const most = Math.max(activations, drawing);
  const images = bank.count * bank.dimension;
  // Images, weights and the program are in memory already. Gradients and averages are first touched by a step.
  const peak = options.device === "cpu" ? process.memoryUsage().rss + most : stateBytes + images + most;
  const open = Math.max(totalImages - state.images, 0);
  const { distances, seconds: comparing } = estimateDistances(bank, options, context);
  const settings = trainingSettings(options, distances);
  const { imagesPerSecond, preparation } = measureSteps(state, trainingData(bank, options), settings, context);
  const trained = Math.min(open, imagesPerSecond * timeLimit);
  const shapes = Array.from(state.network.stateDict(), ([name, tensor]) => [name, tensor.shape] as const);
  const forward = forwardFlops(shapes, network.shape.height);
  return {
    imagesPerSecond,
    images: trained,
    seconds: trained / imagesPerSecond,
    preparation: comparing + preparation,
    steps: Math.ceil(trained / options.batch),
    parameters: elementCount(state.parameters.values.shape),
    flops: { forward, step: PASSES_PER_STEP * forward * options.batch },
    memory: { state: stateBytes, images, activations, drawing, peak },
  };
}

/** Time and memory of a planned training, without training: time from a few steps, memory by counting. */

import { loopOptions, trainingData, trainingSettings } from "../config/training.js";
import { activationsPerImage } from "../networks/activations.js";
import type { JobContext } from "./context.js";
import { measureSpeed } from "./measure.js";
import type { TrainingPlan } from "./training-plan.js";

/** Expected time and memory of a training. */
export interface TrainingEstimate {
  /** Images per second, as measured. */
  readonly imagesPerSecond: number;
  /** Images trained on until the duration or the time limit is reached. */
  readonly images: number;
  /** Seconds for those images. */
  readonly seconds: number;
  /** Bytes. */
  readonly memory: {
    /** Weights, gradients, moments and averages. */
    readonly state: number;
    /** The images. */
    readonly images: number;
    /** Activations that a step keeps for the gradient, an estimate: it depends on the images per forward pass. */
    readonly activations: number;
    /** The whole process at its peak; on a GPU, the three above. */
    readonly peak: number;
  };
}

/**
 * Time and memory of a plan. It measures with the plan's own network, which must not be trained afterwards.
 *
 * @throws Stopped when the job is to stop
 */
export function estimateTraining(plan: TrainingPlan, context: JobContext): TrainingEstimate {
  const { options, bank, network, state, stateBytes } = plan;
  const settings = trainingSettings(options);
  const { totalImages, timeLimit } = loopOptions(options);
  const { modelChannels, channelMult, numBlocks, attnResolutions, arch, shape } = network;
  const perImage = activationsPerImage(
    { arch, shape, modelChannels, channelMult, numBlocks, attnResolutions },
    options.recompute,
  );
  const activations = perImage * settings.microBatch * (options.precision === "bf16" ? 2 : 4);
  const images = bank.count * bank.dimension;
  // Images, weights and the program are in memory already. Gradients and averages are first touched by a step.
  const peak = options.device === "cpu" ? process.memoryUsage().rss + activations : stateBytes + images + activations;
  const open = Math.max(totalImages - state.images, 0);
  const imagesPerSecond = measureSpeed(state, trainingData(bank, options), settings, context);
  const trained = Math.min(open, imagesPerSecond * timeLimit);
  return {
    imagesPerSecond,
    images: trained,
    seconds: trained / imagesPerSecond,
    memory: { state: stateBytes, images, activations, peak },
  };
}

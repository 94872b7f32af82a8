/** What a planned training takes, without training: time from a few steps, memory by counting. */

import { loopOptions, trainingData, trainingSettings } from "../config/training.js";
import { activationsPerImage } from "../networks/activations.js";
import type { JobContext } from "./context.js";
import { measureSpeed } from "./measure.js";
import type { TrainingPlan } from "./training-plan.js";

/** What a training is expected to take. */
export interface TrainingEstimate {
  /** Images per second, as measured. */
  readonly imagesPerSecond: number;
  /** Images that are trained on until the duration or the time limit is over. */
  readonly images: number;
  /** Seconds for these. */
  readonly seconds: number;
  /** Bytes. */
  readonly memory: {
    /** Weights, gradients, moments and averages. */
    readonly state: number;
    /** The images. */
    readonly images: number;
    /** What a step keeps for the gradient, an estimate: it depends on the images that are in the network at once. */
    readonly activations: number;
    /** The whole process at its peak; of a GPU, the three above. */
    readonly peak: number;
  };
}

/**
 * What a plan takes. It measures with the plan's own network, which is not worth training afterwards.
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
  // Images and weights are there already, and so is the program. Gradients and averages are touched by the first step.
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

/** The training speed of this machine: a few steps whose results are discarded. */

import { synchronize } from "@stf/torch";
import type { TrainingState } from "../training/state.js";
import { type TrainingData, type TrainingSettings, trainingStep } from "../training/step.js";
import { checkStop, type JobContext } from "./context.js";

/** Pixels in a step at first: small images need many to resemble a real training step, large ones are slow anyway. */
const PIXELS = 32 * 32 * 32;
/** A GPU needs more to be busy. */
const GPU_FACTOR = 16;
/** Seconds after which another step adds little. */
const ENOUGH = 1;
/** Steps of which some are likely to be undisturbed. */
const FEWEST_STEPS = 4;
const MOST_STEPS = 20;

/** Images in a forward pass of the training, and in a step that is short whatever the network. */
function measuredBatches(
  { batch, microBatch }: TrainingSettings,
  { bank }: TrainingData,
): [whole: number, few: number] {
  const { height, width } = bank.shape;
  const most = (bank.device === "cpu" ? 1 : GPU_FACTOR) * Math.ceil(PIXELS / (height * width));
  const whole = Math.max(1, Math.min(batch, microBatch, bank.count));
  return [whole, Math.min(whole, most)];
}

/** What a few steps show of a training. */
export interface MeasuredSteps {
  /** Images per second, once training is under way. */
  readonly imagesPerSecond: number;
  /** Seconds that the first step takes in addition, because it prepares what later ones use. */
  readonly preparation: number;
}

/**
 * Takes training steps with these settings, and measures them. It changes the state, which should be discarded afterwards.
 *
 * @throws Stopped when the job is to stop
 */
export function measureSteps(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  context: JobContext,
): MeasuredSteps {
  const [whole, few] = measuredBatches(settings, data);
  // A measurement must not diverge, whatever the learning rate.
  const learningRate = { peak: 1e-9, rampup: 0 };
  const step = (batch: number): number => {
    checkStop(context);
    const start = context.now();
    trainingStep(state, data, { ...settings, batch, microBatch: batch, learningRate });
    synchronize(data.bank.device);
    return context.now() - start;
  };
  // It allocates memory, and may prepare for longer than many steps take.
  const first = step(few);
  const second = step(few);
  const preparation = Math.max(first - second, 0);
  const speed = (batch: number, seconds: number): number => batch / Math.max(seconds, 1e-9);
  // So long a step is an average over disturbances.
  if (second > 2 * ENOUGH) return { imagesPerSecond: speed(few, second), preparation };
  const batch = (second * whole) / few <= ENOUGH ? whole : few;
  const times: number[] = [];
  for (let spent = 0; (spent < ENOUGH || times.length < FEWEST_STEPS) && times.length < MOST_STEPS; ) {
    times.push(step(batch));
    spent += times.at(-1) as number;
  }
  // The lower quartile, because other programs delay some steps and speed up none.
  const quick = times.sort((a, b) => a - b)[(times.length - 1) >> 2] as number;
  return { imagesPerSecond: speed(batch, quick), preparation };
}

/**
 * Images per second of training steps with these settings. It changes the state, which should be discarded afterwards.
 *
 * @throws Stopped when the job is to stop
 */
export const measureSpeed = (...input: Parameters<typeof measureSteps>): number =>
  measureSteps(...input).imagesPerSecond;

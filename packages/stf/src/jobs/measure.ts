/** The training speed of this machine: a few steps whose results are discarded. */

import { synchronize } from "@stf/torch";
import type { TrainingState } from "../training/state.js";
import { type TrainingData, type TrainingSettings, trainingStep } from "../training/step.js";
import { checkStop, type JobContext } from "./context.js";

/** Pixels in a step: small images need many to resemble a real training step, large ones are slow anyway. */
const PIXELS = 32 * 32 * 32;
/** A GPU needs more to be busy. */
const GPU_FACTOR = 16;
/** Seconds after which another step adds little. */
const ENOUGH = 1;
/** Steps of which some are likely to be undisturbed. */
const FEWEST_STEPS = 4;
const MOST_STEPS = 20;

/** Images in a measured step. */
function measuredBatch({ batch, microBatch }: TrainingSettings, { bank }: TrainingData): number {
  const { height, width } = bank.shape;
  const most = (bank.device === "cpu" ? 1 : GPU_FACTOR) * Math.ceil(PIXELS / (height * width));
  return Math.max(1, Math.min(batch, microBatch, most, bank.count));
}

/**
 * Images per second of training steps with these settings. It changes the state, which should be discarded afterwards.
 *
 * @throws Stopped when the job is to stop
 */
export function measureSpeed(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  context: JobContext,
): number {
  const batch = measuredBatch(settings, data);
  // A measurement must not diverge, whatever the learning rate.
  const learningRate = { peak: 1e-9, rampup: 0 };
  const step = (): number => {
    checkStop(context);
    const start = context.now();
    trainingStep(state, data, { ...settings, batch, microBatch: batch, learningRate });
    synchronize(data.bank.device);
    return context.now() - start;
  };
  const first = step();
  // The first step allocates memory. If that matters little, it counts as a measurement, too.
  if (first > 2 * ENOUGH) return batch / first;
  const times: number[] = [];
  for (let spent = 0; (spent < ENOUGH || times.length < FEWEST_STEPS) && times.length < MOST_STEPS; ) {
    times.push(step());
    spent += times.at(-1) as number;
  }
  // The lower quartile, because other programs delay some steps and speed up none.
  const quick = times.sort((a, b) => a - b)[(times.length - 1) >> 2] as number;
  return batch / Math.max(quick, 1e-9);
}

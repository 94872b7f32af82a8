/** How fast this machine trains a network: a few steps, of which nothing is kept. */

import { synchronize } from "@stf/torch";
import type { TrainingState } from "../training/state.js";
import { type TrainingData, type TrainingSettings, trainingStep } from "../training/step.js";
import { checkStop, type JobContext } from "./context.js";

/** Pixels in a step: small images need many for a step to be like those of a training, large ones take long by themselves. */
const PIXELS = 32 * 32 * 32;
/** A GPU is not busy with so few. */
const GPU_FACTOR = 16;
/** Seconds after which another step tells little. */
const ENOUGH = 1;
const MOST_STEPS = 20;

/** Images in a step that is measured. */
function measuredBatch({ batch, microBatch }: TrainingSettings, { bank }: TrainingData): number {
  const { height, width } = bank.shape;
  const most = (bank.device === "cpu" ? 1 : GPU_FACTOR) * Math.ceil(PIXELS / (height * width));
  return Math.max(1, Math.min(batch, microBatch, most, bank.count));
}

/**
 * Images per second of training steps with these settings. It changes the state, which is not worth keeping afterwards.
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
  // Whatever the rate is, a measurement does not diverge.
  const learningRate = { peak: 1e-9, rampup: 0 };
  const step = (): number => {
    checkStop(context);
    const start = context.now();
    trainingStep(state, data, { ...settings, batch, microBatch: batch, learningRate });
    synchronize(data.bank.device);
    return context.now() - start;
  };
  const first = step();
  // The first step gets its memory from the system. Where that matters little, it is a measurement, too.
  if (first > 2 * ENOUGH) return batch / first;
  const times: number[] = [];
  for (let spent = 0; spent < ENOUGH && times.length < MOST_STEPS; spent += times.at(-1) as number) times.push(step());
  // The median: another program that wakes up for one step does not count.
  const median = times.sort((a, b) => a - b)[times.length >> 1] as number;
  return batch / Math.max(median, 1e-9);
}

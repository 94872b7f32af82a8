/** A rehearsal before the first step: what cannot work for lack of memory or space fails now, not after hours. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { releaseFreeMemory, scope } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { isFileProblem, problemOf } from "../common/folders.js";
import type { TrainingState } from "../training/state.js";
import { computeGradients, type TrainingData, type TrainingSettings } from "../training/step.js";
import type { JobContext } from "./context.js";
import type { TrainingSamples } from "./training-samples.js";

/** No name of a run's file, and that of a partial one, which is removed if this process is killed now. */
const TRIAL_FILE = ".rehearsal.0.partial";

/** What is rehearsed. */
export interface Rehearsal {
  readonly folder: string;
  readonly state: TrainingState;
  readonly data: TrainingData;
  readonly settings: TrainingSettings;
  readonly samples: TrainingSamples;
  /** Writes a training state. */
  readonly save: (path: string) => void;
}

/**
 * Computes the gradients of one forward and backward pass as large as those to come, draws as many images as will be drawn at once, and
 * saves a training state. Weights, moments, the average and the clock stay as they are, and nothing stays in the run folder.
 *
 * @throws InputError when a training state cannot be written to the run folder; an error of libtorch for too little memory
 */
export function rehearse(
  { folder, state, data, settings, samples, save }: Rehearsal,
  { reporter, shouldStop }: JobContext,
): void {
  const act = (name: string, body: () => void): void => {
    reporter.update(`rehearsing ${name}`);
    body();
    releaseFreeMemory();
  };
  act("a step", () => rehearseStep(state, data, settings, shouldStop));
  if (!shouldStop()) act("drawing", () => samples.rehearse(state));
  if (!shouldStop()) act("saving", () => rehearseSaving(folder, save));
  reporter.clear();
}

/**
 * Computes the gradients of one forward and backward pass as large as those to come, together with the other processes of the training if there
 * are any, unless one of them is to stop.
 */
export function rehearseStep(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  shouldStop: () => boolean,
): void {
  const { ranks } = settings;
  const isStopped = ranks ? ranks.any([shouldStop()])[0] : shouldStop();
  if (isStopped) return;
  const batch = Math.min(settings.microBatch * (ranks?.size ?? 1), settings.batch);
  scope(() => void computeGradients(state, data, { ...settings, batch }));
  state.parameters.zeroGrad();
}

function rehearseSaving(folder: string, save: (path: string) => void): void {
  const trial = join(folder, TRIAL_FILE);
  try {
    save(trial);
  } catch (cause) {
    if (!isFileProblem(cause)) throw cause;
    throw new InputError(
      `a training state cannot be written to ${folder}: ${problemOf(cause)}; make room there, or choose another 'outdir'`,
      { cause },
    );
  } finally {
    rmSync(trial, { force: true });
  }
}

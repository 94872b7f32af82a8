/** What a training does when it diverges: it goes back to its latest sound state, or ends with advice. */

import { existsSync } from "node:fs";
import { loadState } from "../checkpoints/state-file.js";
import type { TrainOptions } from "../config/train-options.js";
import { historyOf, type RunHistory, setAsideAfter, soundState } from "../run/history.js";
import type { TrainingState } from "../training/state.js";
import { DivergenceError } from "../training/step.js";
import type { Reporter } from "./context.js";
import { storedLimit } from "./saved-run.js";

/** Each return lowers the learning rate by this factor. */
const FACTOR = 0.5;
/** After so many, something else is wrong. */
const MOST = 4;

/** The published learning rate: larger ones rarely train. */
const USUAL_RATE = 1e-3;

/** A divergence with what the run can be resumed from. */
export function withAdvice(error: DivergenceError, folder: string, options: TrainOptions): DivergenceError {
  // A factor on the loss overflows long before it could help.
  const lower = options.ls > 1 ? "'ls=1'" : `'lr=${Math.min(options.lr / 2, USUAL_RATE)}'`;
  const state = existsSync(folder) ? soundState(folder) : undefined;
  const advice =
    state === undefined
      ? `no state was saved before: start again, with ${lower} for example`
      : `resume from an earlier state with 'resume=${state}' and ${lower}, for example; later states are then set aside`;
  return new DivergenceError(`${error.message}; ${advice}`, { cause: error });
}

/** A run that has gone back. */
export interface RolledBack {
  /** The state that it went back to. */
  readonly path: string;
  /** What it has done until then. */
  readonly history: RunHistory;
  /** The noise level below which it trained then; undefined for all. */
  readonly trainedBelow: number | undefined;
}

/**
 * Takes a run back to its latest state known to be sound, with half the learning rate. What it wrote later is set aside.
 *
 * @param state - gets the weights and everything else of that time
 * @throws the divergence, if the options ask for that, there is no such state, or lower rates have not helped
 */
export function rollBack(
  error: DivergenceError,
  folder: string,
  state: TrainingState,
  { onDivergence, lr }: TrainOptions,
  reporter: Reporter,
): RolledBack {
  const rate = FACTOR * state.stability.rate;
  const path = existsSync(folder) ? soundState(folder) : undefined;
  if (onDivergence === "stop" || path === undefined || rate < FACTOR ** MOST) throw error;
  reporter.warn(error.message);
  const saved = loadState(path);
  saved.restore(state);
  state.stability.rate = rate;
  state.stability.skipped = 0;
  const aside = setAsideAfter(folder, state.images);
  reporter.print(
    `rolled back to ${path}, with ${rate} of the learning rate: ${Number((rate * lr).toPrecision(3))}${aside === undefined ? "" : `; what was written later is in ${aside}`}`,
  );
  return { path, history: historyOf(folder), trainedBelow: storedLimit(saved.options) };
}

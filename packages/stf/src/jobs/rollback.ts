/** What a training does when it diverges: it goes back to its latest sound state, or ends with advice. */

import { existsSync } from "node:fs";
import { FileFormatError } from "@stf/torch";
import { loadState, type SavedState } from "../checkpoints/state-file.js";
import { InputError } from "../common/errors.js";
import { isFileProblem } from "../common/folders.js";
import type { TrainOptions } from "../config/train-options.js";
import { imagesInPath } from "../run/files.js";
import { historyOf, type RunHistory, setAsideAfter, soundStates } from "../run/history.js";
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

const soundIn = (folder: string): string[] => (existsSync(folder) ? soundStates(folder) : []);

/** A divergence with what the run can be resumed from. */
export function withAdvice(error: DivergenceError, folder: string, options: TrainOptions): DivergenceError {
  // A factor on the loss overflows long before it could help.
  const lower = options.ls > 1 ? "'ls=1'" : `'lr=${Math.min(options.lr / 2, USUAL_RATE)}'`;
  const state = soundIn(folder)[0];
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
  /** Whether a later state may replace it. */
  readonly temporary: boolean;
}

/** The first of some states that can be used, which is restored; undefined if none can. */
function restoreFirst(
  paths: readonly string[],
  state: TrainingState,
  reporter: Reporter,
): { readonly path: string; readonly saved: SavedState } | undefined {
  for (const path of paths) {
    try {
      const saved = loadState(path);
      saved.restore(state);
      return { path, saved };
    } catch (error) {
      if (!(error instanceof FileFormatError || error instanceof InputError || isFileProblem(error))) throw error;
      reporter.warn(`${(error as Error).message}; going back further`);
    }
  }
  return undefined;
}

/**
 * Takes a run back to its latest state known to be sound, with half the learning rate. What it wrote later is set aside.
 *
 * @param state - gets the weights and everything else of that time
 * @param last - the state that it went back to last; what showed that this one is sound has been set aside
 * @throws the divergence, if the options ask for that, there is no such state, or lower rates have not helped
 */
export function rollBack(
  error: DivergenceError,
  folder: string,
  state: TrainingState,
  { onDivergence, lr }: TrainOptions,
  reporter: Reporter,
  last?: string,
): RolledBack {
  const rate = FACTOR * state.stability.rate;
  if (onDivergence === "stop" || rate < FACTOR ** MOST) throw error;
  const known = last !== undefined && existsSync(last) ? [last] : [];
  const paths = [...new Set([...known, ...soundIn(folder)])].sort((a, b) => imagesInPath(b) - imagesInPath(a));
  const back = restoreFirst(paths, state, reporter);
  if (back === undefined) throw error;
  reporter.warn(error.message);
  const { path, saved } = back;
  state.stability.rate = rate;
  state.stability.skipped = 0;
  const aside = setAsideAfter(folder, state.images);
  reporter.print(
    `rolled back to ${path}, with ${rate} of the learning rate: ${Number((rate * lr).toPrecision(3))}${aside === undefined ? "" : `; what was written later is in ${aside}`}`,
  );
  return { path, history: historyOf(folder), trainedBelow: storedLimit(saved.options), temporary: saved.temporary };
}

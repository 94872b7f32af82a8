/** Training as a job: from a request to a run folder. */

import { basename, dirname, join } from "node:path";
import { InputError, TeamError } from "../common/errors.js";
import { isFileProblem, problemOf, removePartialFiles } from "../common/folders.js";
import type { TrainRequest } from "../config/train-request.js";
import { loopOptions } from "../config/training.js";
import { makeNewFolder, makeNumberedFolder, newestState } from "../run/folder.js";
import { lockRun } from "../run/lock.js";
import { DivergenceError } from "../training/step.js";
import { alone, type JobContext, jobContext, soloContext } from "./context.js";
import { followTraining } from "./follow-training.js";
import { withinMemory } from "./memory.js";
import { withAdvice } from "./rollback.js";
import { RunFolder } from "./run-folder.js";
import { storedOptions } from "./stored-options.js";
import type { Team } from "./team.js";
import { type TrainResult, trainInFolder } from "./train-in-folder.js";
import { memoryAdvice } from "./training-description.js";
import { TrainingMetrics } from "./training-metrics.js";
import { disposePlan, planTraining, type TrainingPlan } from "./training-plan.js";

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

/** @throws InputError when another process has trained the run since its state was read */
function checkNewest(folder: string, { newest }: TrainingPlan): void {
  if (newest === null) return;
  const now = newestState(folder);
  if (now === newest) return;
  const found = now === undefined ? "that state is gone" : `its latest state is now ${basename(now)}`;
  throw new InputError(
    `${folder} was trained by another process while this one was starting: ${found}; start again, to go on from there`,
  );
}

/**
 * Takes possession of a run folder.
 *
 * @throws InputError when another process trains the run, or the folder cannot be written
 */
function openRun(
  folder: string,
  plan: TrainingPlan,
  { reporter }: JobContext,
): { readonly run: RunFolder } & Disposable {
  let lock: Disposable | undefined;
  try {
    lock = lockRun(folder);
    checkNewest(folder, plan);
    const release = lock[Symbol.dispose];
    removePartialFiles(folder);
    return { run: new RunFolder(folder, storedOptions(plan), reporter, plan.resumed), [Symbol.dispose]: release };
  } catch (cause) {
    lock?.[Symbol.dispose]();
    if (!isFileProblem(cause)) throw cause;
    throw new InputError(
      `the run folder ${folder} cannot be written: ${problemOf(cause)}; make room there, or choose another 'outdir'`,
      { cause },
    );
  }
}

/** Lets the other processes end. Everything is saved, so one that has ended early, or failed, changes nothing. */
function release(team: Team): void {
  try {
    team.meet();
  } catch (error) {
    if (!(error instanceof TeamError)) throw error;
  }
}

/** Trains as planned. Frees the plan's network and images. */
export async function runTraining(plan: TrainingPlan, shared: JobContext = jobContext()): Promise<TrainResult> {
  const { options, state } = plan;
  const { team } = shared;
  try {
    if (team && team.rank > 0) return await followTraining(plan, shared, team);
    const context = soloContext(shared);
    const isComplete = state.images >= loopOptions(options).totalImages;
    // What it needs may be missing: before a folder is made.
    using metrics = isComplete
      ? undefined
      : await withinMemory(
          () => memoryAdvice(options),
          () => alone({ team }, "it measures the images of the training", () => TrainingMetrics.open(plan, context)),
        );
    const folder = folderOf(plan);
    team?.gather({ isComplete });
    if (isComplete) return { reason: "complete", folder, images: state.images };
    using opened = openRun(folder, plan, context);
    const { run } = opened;
    try {
      const room = { plan, folder, run, metrics, context: { ...context, team, reporter: run.reporter } };
      const result = await trainInFolder(room);
      if (team) release(team);
      return result;
    } catch (error) {
      const told = error instanceof DivergenceError ? withAdvice(error, folder, options) : error;
      run.keepLine(`ended after ${state.images} images: ${(told as Error).message}`);
      throw told;
    }
  } finally {
    disposePlan(plan);
  }
}

/**
 * Trains a network on images: reads them, makes or finds the run folder, trains until the duration, the time limit or
 * `context.shouldStop` ends it, saves, and draws some images.
 *
 *     const { snapshot } = await train({ data: "my-photos", timeLimit: 30 });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used;
 * DivergenceError when steps in a row had to be skipped and going back has not helped; Stopped before the first step.
 */
export async function train(request: TrainRequest, context: JobContext = jobContext()): Promise<TrainResult> {
  return await runTraining(await planTraining(request, context), context);
}

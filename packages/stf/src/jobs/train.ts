/** Training as a job: from a request to a run folder. */

import { dirname, join, resolve } from "node:path";
import { runWriter } from "../checkpoints/run-writer.js";
import { saveState } from "../checkpoints/state-file.js";
import { InputError } from "../common/errors.js";
import { isFileProblem, problemOf, removePartialFiles } from "../common/folders.js";
import { isTooShort, RECOGNISABLE } from "../config/enough-training.js";
import type { TrainOptions } from "../config/train-options.js";
import type { TrainRequest } from "../config/train-request.js";
import { averageSettings, loopOptions, trainingData, trainingSettings, usesDistances } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import { nearestDistances } from "../data/neighbours.js";
import { makeNewFolder, makeNumberedFolder } from "../run/folder.js";
import { historyOf, setAsideAfter } from "../run/history.js";
import { lockRun } from "../run/lock.js";
import { ErrorMeasurement } from "../training/error-measurement.js";
import { type LoopHooks, type LoopResult, type Progress, type TrainingWriter, trainingLoop } from "../training/loop.js";
import { powerWidths } from "../training/power-average.js";
import { disposeState } from "../training/state.js";
import { DivergenceError, type TrainingSettings } from "../training/step.js";
import { type JobContext, jobContext, type Reporter } from "./context.js";
import { withinMemory } from "./memory.js";
import { describeMetrics } from "./metrics-cost.js";
import { MetricsRecord } from "./metrics-record.js";
import { absoluteFeatures } from "./open-features.js";
import { rehearse } from "./rehearsal.js";
import { type RolledBack, rollBack, withAdvice } from "./rollback.js";
import { RunFolder } from "./run-folder.js";
import { TrainingAnalytic } from "./training-analytic.js";
import { TrainingBoard } from "./training-board.js";
import { memoryAdvice } from "./training-description.js";
import { TrainingMetrics } from "./training-metrics.js";
import { planTraining, type TrainingPlan } from "./training-plan.js";
import { formatProgress, tickNotes } from "./training-report.js";
import { TrainingSamples } from "./training-samples.js";

/** How a training ended, and the paths of its output. */
export interface TrainResult {
  /** "complete": the run had already processed all its images. */
  readonly reason: LoopResult["reason"] | "complete";
  /** The run folder. */
  readonly folder: string;
  /** Images trained on, including earlier parts of the run. */
  readonly images: number;
  /** Progress at the last step; undefined without a step. */
  readonly progress?: Progress;
  /** Path of the last network snapshot. */
  readonly snapshot?: string;
  /** Path of the last training state. */
  readonly state?: string;
  /** Path of a grid of images drawn by the averaged network; undefined when the training was stopped. */
  readonly samples?: string;
  /** What could not be written, or not to its path, in one line. */
  readonly problem?: string;
}

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

/** Distances between the images, if they save work in every step. */
function distancesOf(bank: ImageBank, options: TrainOptions, reporter: Reporter): Float64Array | undefined {
  if (!usesDistances(options, bank.count)) return undefined;
  const distances = nearestDistances(bank, (done, total) => reporter.update(`comparing images: ${done} of ${total}`));
  reporter.clear();
  return distances;
}

const endings = { finished: "finished", "time limit": "the time limit was reached", stopped: "stopped" } as const;

/** Names of the classes, if the network has classes. */
const classesOf = ({ options, bank }: TrainingPlan): { readonly classNames?: readonly string[] | null } =>
  options.cond ? { classNames: bank.classNames ?? null } : {};

/** The options as the run stores them: with absolute paths. */
const storedOptions = (plan: TrainingPlan): Readonly<Record<string, unknown>> => ({
  ...plan.options,
  data: resolve(plan.options.data),
  ...(typeof plan.options.heldOut === "string" && { heldOut: resolve(plan.options.heldOut) }),
  ...(plan.options.transfer !== null && { transfer: resolve(plan.options.transfer) }),
  ...(plan.options.metricsFeatures !== null && { metricsFeatures: absoluteFeatures(plan.options.metricsFeatures) }),
  ...classesOf(plan),
});

/** A writer whose statistics are shown as well. */
const watched = (writer: TrainingWriter, board: TrainingBoard | undefined): TrainingWriter => ({
  ...writer,
  statistics(line) {
    writer.statistics(line);
    board?.statistics(line);
  },
});

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

/** Trains as planned. Frees the plan's network and images. */
export async function runTraining(plan: TrainingPlan, context: JobContext = jobContext()): Promise<TrainResult> {
  const { options, bank, heldOut, state } = plan;
  try {
    const isComplete = state.images >= loopOptions(options).totalImages;
    // What it needs may be missing: before a folder is made.
    using metrics = isComplete
      ? undefined
      : await withinMemory(
          () => memoryAdvice(options),
          () => TrainingMetrics.open(plan, context),
        );
    const folder = folderOf(plan);
    if (isComplete) return { reason: "complete", folder, images: state.images };
    using opened = openRun(folder, plan, context);
    const { run } = opened;
    try {
      return await trainInFolder({ plan, folder, run, metrics, context: { ...context, reporter: run.reporter } });
    } catch (error) {
      const told = error instanceof DivergenceError ? withAdvice(error, folder, options) : error;
      run.keepLine(`ended after ${state.images} images: ${(told as Error).message}`);
      throw told;
    }
  } finally {
    disposeState(state);
    bank.dispose();
    heldOut?.dispose();
  }
}

/** Everything that a training in a folder uses. */
interface TrainingRoom {
  readonly plan: TrainingPlan;
  readonly folder: string;
  readonly run: RunFolder;
  readonly metrics: TrainingMetrics | undefined;
  readonly context: JobContext;
}

/** Says what begins, puts aside what a new beginning leaves behind, and tries everything once. */
function begin({ plan, folder, metrics, context }: TrainingRoom, samples: TrainingSamples): void {
  const { options, bank, network, state, description, resumed } = plan;
  const { reporter } = context;
  for (const line of description) reporter.print(line);
  for (const line of metrics ? describeMetrics(metrics, options, state.images) : []) reporter.print(line);
  reporter.print(`run folder  ${folder}`);
  if (resumed !== undefined) reporter.print(`resumed     at ${state.images} images from ${resumed}`);
  const aside = setAsideAfter(folder, state.images);
  if (aside !== undefined) {
    reporter.print(`set aside   ${resumed === undefined ? "earlier" : "later"} output of the run, in ${aside}`);
  }
  const save = (path: string): void => saveState(path, state, network, storedOptions(plan));
  const data = trainingData(bank, options);
  rehearse({ folder, state, data, settings: trainingSettings(options), samples, save }, context);
}

/** The training loop, which starts again at an earlier state when training diverges. */
async function trainToTheEnd(
  { plan: { state, options, bank }, folder, run, context }: TrainingRoom,
  settings: TrainingSettings,
  writer: TrainingWriter,
  hooks: LoopHooks,
  onReturn: (back: RolledBack) => void,
): Promise<LoopResult> {
  const { now, reporter } = context;
  const start = now();
  const all = loopOptions(options);
  let back: RolledBack | undefined;
  for (let history = historyOf(folder); ; ) {
    const before = now() - start;
    try {
      const [data, limited] = [trainingData(bank, options), { ...all, timeLimit: all.timeLimit - before }];
      return await trainingLoop(state, data, settings, limited, writer, {
        ...hooks,
        history,
        measure: (trained, time) => hooks.measure?.(trained, { ...time, elapsed: before + time.elapsed }) ?? {},
      });
    } catch (error) {
      if (!(error instanceof DivergenceError)) throw error;
      back = rollBack(error, folder, state, options, reporter, back?.path);
      run.returnedTo(back.path);
      onReturn(back);
      history = back.history;
    }
  }
}

async function trainInFolder(room: TrainingRoom): Promise<TrainResult> {
  const { plan, folder, run, metrics, context } = room;
  const { options, bank, heldOut, network, state, digest } = plan;
  const { reporter } = context;
  let analytic: TrainingAnalytic | undefined;
  let board: TrainingBoard | undefined;
  const samples = new TrainingSamples(
    folder,
    averageSettings(options),
    bank.classNames,
    () => analytic?.part,
    context,
    (path) => board?.samples(path),
  );
  const advice = (): string => {
    const latest = run.latestState;
    return `${memoryAdvice(options)}${latest === undefined ? "" : `; the latest training state is ${latest}`}`;
  };
  await withinMemory(advice, () => begin(room, samples));
  if (options.tensorboard) board = new TrainingBoard(folder, run, storedOptions(plan), state.images);
  using fitted = TrainingAnalytic.fit(plan, context);
  analytic = fitted;
  const usual = state.network.preconditioning.noiseLevels;
  const settings = {
    ...trainingSettings(options, distancesOf(bank, options, reporter)),
    noiseLevels: analytic?.limited(usual) ?? usual,
  };
  const writerFor = (place: string): TrainingWriter =>
    runWriter(place, {
      network,
      options: { ...storedOptions(plan), images: bank.count, imagesDigest: digest },
      decided: () => ({ trainedBelow: analytic?.trainedBelow }),
      about: {
        ...{ data: bank.name, seed: options.seed, labelDropout: settings.labelDropout ?? 0 },
        ...classesOf(plan),
        ...(options.average === "power" && { average: { power: powerWidths.drawn } }),
      },
      keep: options.keep === "all" ? undefined : options.keep,
      analyticOf: analytic && ((trained, isTemporary) => analytic.at(trained, isTemporary)),
    });
  using errors = new ErrorMeasurement(bank, {
    // A limit that changes would make a run's errors incomparable with each other.
    noiseLevels: options.trainBelow === "auto" ? usual : settings.noiseLevels,
    batch: settings.microBatch,
    heldOut,
    now: () => context.now(),
    shouldStop: () => context.shouldStop(),
  });
  let shown = "first step";
  const notesOn = tickNotes();
  const hooks: LoopHooks = {
    // A step may take minutes.
    onPart: (done) => {
      if (done < settings.batch) reporter.update(`${shown}: ${done} of the next ${settings.batch} images`);
    },
    onStep: (progress) => {
      analytic?.onStep(state);
      shown = formatProgress(progress);
      reporter.update(shown);
      samples.onStep(progress);
    },
    measure: ({ averaged }, time) => errors.measure(averaged, time),
    onTick: (progress) => {
      reporter.print(formatProgress(progress));
      for (const note of notesOn(progress)) reporter.print(`note        ${note}`);
    },
    async onSnapshot(trained, { path, ticks }) {
      samples.drawOnTheWay(trained);
      if (ticks !== undefined && record?.isDue(ticks)) await record.measure(path, trained.images);
    },
    shouldStop: () => context.shouldStop(),
    now: () => context.now(),
  };
  const writer = watched(run.writer(writerFor), board);
  const record =
    metrics &&
    new MetricsRecord(metrics, options, { folder, run, statistics: (line) => writer.statistics(line) }, context);
  const { reason, progress, ...last } = await withinMemory(advice, () =>
    trainToTheEnd(room, settings, writer, hooks, ({ trainedBelow }) => {
      analytic?.onReturn(state, trainedBelow);
      record?.onReturn(state.images);
      board?.begin(state.images);
    }),
  );
  const { problem: moved, ...kept } = run.keep(last, state, writerFor);
  reporter.print(`${endings[reason]} after ${state.images} images; saved ${kept.snapshot}`);
  const drawn = reason === "stopped" || moved !== undefined ? undefined : samples.draw(state);
  if (reason !== "stopped") await record?.measure(kept.snapshot, state.images);
  if (drawn?.path !== undefined && options.transfer === null && !analytic?.part && isTooShort(state.images)) {
    reporter.print(
      `note        after only ${state.images} images of training they are mostly noise; about ${RECOGNISABLE} make most of them recognisable`,
    );
  }
  const problem = moved ?? drawn?.problem ?? run.unwritten();
  return {
    ...{ reason, folder, images: state.images, progress, ...kept },
    ...(drawn?.path !== undefined && { samples: drawn.path }),
    ...(problem !== undefined && { problem }),
  };
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

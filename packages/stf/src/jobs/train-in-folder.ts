/** A training in its run folder, from the rehearsal to the last samples. */

import { runWriter } from "../checkpoints/run-writer.js";
import { saveState } from "../checkpoints/state-file.js";
import { partOf } from "../common/ranks.js";
import { isTooShort, RECOGNISABLE } from "../config/enough-training.js";
import { averageSettings, loopOptions, trainingData, trainingSettings } from "../config/training.js";
import { DividedBank } from "../data/divided-bank.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { historyOf, setAsideAfter } from "../run/history.js";
import { ErrorMeasurement } from "../training/error-measurement.js";
import { type LoopHooks, type LoopResult, type Progress, type TrainingWriter, trainingLoop } from "../training/loop.js";
import { powerWidths } from "../training/power-average.js";
import { DivergenceError, type TrainingSettings } from "../training/step.js";
import { alone, type JobContext } from "./context.js";
import { withinMemory } from "./memory.js";
import { describeMetrics } from "./metrics-cost.js";
import { MetricsRecord } from "./metrics-record.js";
import { rehearse } from "./rehearsal.js";
import { type RolledBack, rollBack } from "./rollback.js";
import type { RunFolder } from "./run-folder.js";
import { shareHistory, shareState } from "./shared-state.js";
import { classesOf, storedOptions } from "./stored-options.js";
import { TrainingAnalytic } from "./training-analytic.js";
import { TrainingBoard } from "./training-board.js";
import { memoryAdvice } from "./training-description.js";
import { distancesOf } from "./training-distances.js";
import type { TrainingMetrics } from "./training-metrics.js";
import type { TrainingPlan } from "./training-plan.js";
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

/** Everything that a training in a folder uses. */
export interface TrainingRoom {
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
  const settings = { ...trainingSettings(options), ranks: context.team };
  rehearse({ folder, state, data, settings, samples, save }, context);
}

/** The training loop, which starts again at an earlier state when training diverges. */
async function trainToTheEnd(
  { plan: { state, options, bank }, folder, run, context }: TrainingRoom,
  settings: TrainingSettings,
  writer: TrainingWriter,
  hooks: LoopHooks,
  onReturn: (back: RolledBack) => void,
): Promise<LoopResult> {
  const { now, reporter, team } = context;
  const start = now();
  const all = loopOptions(options);
  let back: RolledBack | undefined;
  for (let history = historyOf(folder); ; ) {
    if (team) shareHistory(history, team);
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
      const diverged = error;
      const returned = alone(context, "it goes back to an earlier state", () =>
        rollBack(diverged, folder, state, options, reporter, back?.path),
      );
      if (team) {
        shareState(state, team);
        team.gather({ trainedBelow: returned.trainedBelow ?? null });
      }
      run.returnedTo(returned.path);
      onReturn(returned);
      history = returned.history;
      back = returned;
      // The lower learning rate must outlast this process.
      writer.state(state, { temporary: back.temporary, loss: Number.NaN, lowestLoss: history.lowestLoss });
    }
  }
}

/** A writer whose statistics are shown as well, and that others wait for. */
const watched = (writer: TrainingWriter, board: TrainingBoard | undefined, context: JobContext): TrainingWriter => ({
  ...writer,
  state: (...args) => alone(context, "it saves", () => writer.state(...args)),
  snapshot: (...args) => alone(context, "it saves", () => writer.snapshot(...args)),
  statistics(line) {
    writer.statistics(line);
    board?.statistics(line);
  },
});

/** The writer of a run, for its folder or another place. */
function writersOf(plan: TrainingPlan, settings: TrainingSettings, analytic: TrainingAnalytic | undefined) {
  const { options, bank, network, digest } = plan;
  return (place: string): TrainingWriter =>
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
}

/**
 * @param noiseLevels - those of the training, where they do not change
 * @returns undefined if no process has all images
 */
function errorsOf(
  { bank, heldOut }: TrainingPlan,
  { microBatch }: TrainingSettings,
  noiseLevels: NoiseLevels,
  context: JobContext,
): ErrorMeasurement | undefined {
  if (bank instanceof DividedBank) return undefined;
  return new ErrorMeasurement(bank, {
    noiseLevels,
    batch: microBatch,
    heldOut,
    now: () => context.now(),
    shouldStop: () => context.shouldStop(),
  });
}

/** What happens between steps. */
interface Companions {
  readonly analytic: TrainingAnalytic | undefined;
  readonly samples: TrainingSamples;
  readonly errors: ErrorMeasurement | undefined;
  readonly record: MetricsRecord | undefined;
}

function hooksOf(
  { plan: { state }, context }: TrainingRoom,
  { batch }: TrainingSettings,
  { analytic, samples, errors, record }: Companions,
): LoopHooks {
  const { reporter, team } = context;
  const own = partOf(batch, team ?? context.rank);
  let shown = "first step";
  const notesOn = tickNotes();
  return {
    // A step may take minutes.
    onPart: (done) => {
      if (done < own.end - own.first)
        reporter.update(`${shown}: ${done} of the next ${own.end - own.first} images${team ? " of this process" : ""}`);
    },
    onStep: (progress) => {
      analytic?.onStep(state);
      shown = formatProgress(progress);
      reporter.update(shown);
      samples.onStep(progress);
    },
    measure: ({ averaged }, time) =>
      errors ? alone(context, "it measures errors", () => errors.measure(averaged, time)) : {},
    onTick: (progress) => {
      reporter.print(formatProgress(progress));
      for (const note of notesOn(progress)) reporter.print(`note        ${note}`);
    },
    onSnapshot: (trained, { path, ticks }) =>
      alone(context, "it draws images", async () => {
        samples.drawOnTheWay(trained);
        if (ticks !== undefined && record?.isDue(ticks)) await record.measure(path, trained.images);
      }),
    ...(team && { any: (statements: readonly boolean[]) => team.any(statements) }),
    shouldStop: () => context.shouldStop(),
    now: () => context.now(),
  };
}

const endings = { finished: "finished", "time limit": "the time limit was reached", stopped: "stopped" } as const;

/** Keeps what was saved last, draws the last samples, measures the last snapshot. */
async function conclude(
  { plan, folder, run, context: { reporter } }: TrainingRoom,
  { reason, progress, ...last }: LoopResult,
  writerFor: (place: string) => TrainingWriter,
  { analytic, samples, record }: Companions,
): Promise<TrainResult> {
  const { options, state } = plan;
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
 * Rehearses, trains to the end, and concludes.
 *
 * @throws DivergenceError when going back has not helped; InputError when the rehearsal fails
 */
export async function trainInFolder(room: TrainingRoom): Promise<TrainResult> {
  const { plan, folder, run, metrics, context } = room;
  const { options, bank, state } = plan;
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
  context.team?.share(state.parameters);
  await withinMemory(advice, () => begin(room, samples));
  if (options.tensorboard) board = new TrainingBoard(folder, run, storedOptions(plan), state.images);
  using fitted = alone(context, "it fits the analytic denoiser", () => TrainingAnalytic.fit(plan, context));
  context.team?.gather({ isLimited: fitted !== undefined });
  analytic = fitted;
  const usual = state.network.preconditioning.noiseLevels;
  const noiseLevels = fitted?.limited(usual) ?? usual;
  const settings = {
    ...trainingSettings(options, distancesOf(bank, options, context)),
    noiseLevels,
    ranks: context.team,
  };
  // A limit that changes would make a run's errors incomparable with each other.
  using errors = errorsOf(plan, settings, options.trainBelow === "auto" ? usual : noiseLevels, context);
  const writerFor = writersOf(plan, settings, fitted);
  const writer = watched(run.writer(writerFor), board, context);
  const record =
    metrics &&
    new MetricsRecord(metrics, options, { folder, run, statistics: (line) => writer.statistics(line) }, context);
  const companions: Companions = { analytic: fitted, samples, errors, record };
  const end = await withinMemory(advice, () =>
    trainToTheEnd(room, settings, writer, hooksOf(room, settings, companions), ({ trainedBelow }) => {
      fitted?.onReturn(state, trainedBelow);
      record?.onReturn(state.images);
      board?.begin(state.images);
    }),
  );
  return await alone(context, "it draws the last images", () => conclude(room, end, writerFor, companions));
}

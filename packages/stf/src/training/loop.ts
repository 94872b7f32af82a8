/**
 * The training loop: steps, and at every tick a line of statistics, sometimes a checkpoint. The caller decides when to stop, provides
 * the clock, and chooses where output is written.
 */

import { setImmediate } from "node:timers/promises";
import { noHistory, type RunHistory } from "../run/history.js";
import type { ErrorStatistics, StatisticName, StatsLine } from "../run/statistics.js";
import type { TickTime } from "./measurement-budget.js";
import { resourceStatistics } from "./resources.js";
import type { TrainingState } from "./state.js";
import { Statistics } from "./statistics.js";
import { DivergenceError, type StepResult, type TrainingData, type TrainingSettings, trainingStep } from "./step.js";

/** How long {@link trainingLoop} trains, and how often it writes output. */
export interface LoopOptions {
  /** Stop at this many images. */
  readonly totalImages: number;
  /** Stop after this many seconds of training. */
  readonly timeLimit: number;
  /** Images between lines of statistics. */
  readonly imagesPerTick: number;
  /** Ticks between snapshots; one is written at the end in any case. */
  readonly snapshotTicks: number;
  /** Ticks between states; one is written at the end in any case. */
  readonly stateTicks: number;
  /** Steps in a row that are skipped, because their gradients are not finite, until training counts as diverged. */
  readonly mostSkipped: number;
  /**
   * Seconds after which both are written regardless of ticks, the first ones after a minute. They are temporary: a writer may
   * remove all but the latest of them. Infinity for none.
   */
  readonly saveSeconds: number;
}

/** Seconds until the first state and snapshot that are written by time. */
const FIRST_SAVE = 60;

/** Facts about a checkpoint besides its state. */
export interface CheckpointFacts {
  /** Whether it was written because of elapsed time. */
  readonly temporary: boolean;
  /** The latest mean loss per value; NaN before the first step. */
  readonly loss: number;
  /** The lowest mean loss of a tick in this run; infinity before the first. */
  readonly lowestLoss: number;
}

/** Where {@link trainingLoop} writes; `runWriter` writes into a run folder. */
export interface TrainingWriter {
  /** Called before the first step. @throws an error if this state cannot be stored */
  check?(state: TrainingState): void;
  /** Stores a line of statistics. */
  statistics(line: StatsLine): void;
  /** Stores the averaged network. Returns its path; undefined if that failed and training should continue. */
  snapshot(state: TrainingState, facts: CheckpointFacts): string | undefined;
  /** Stores everything needed to resume. Returns its path; undefined if that failed and training should continue. */
  state(state: TrainingState, facts: CheckpointFacts): string | undefined;
}

/** Progress of training. */
export interface Progress {
  /** Images trained on so far, including earlier runs. */
  readonly images: number;
  /** Images at which training stops. */
  readonly totalImages: number;
  /** Mean loss per value since the last tick. */
  readonly loss: number;
  /** The lowest mean loss of a tick in this run, this one included; infinity before the first. */
  readonly lowestLoss: number;
  /** Steps since the last tick. */
  readonly steps: number;
  /** How many of them were skipped, because their gradients were not finite. */
  readonly skipped: number;
  /** The latest excess loss of the averaged weights; undefined if it has not been measured. */
  readonly excess?: number | undefined;
  /** The latest loss on held-out images; undefined if it has not been measured. */
  readonly heldOut?: number | undefined;
  /** Speed in this process; time spent on checkpoints does not count. */
  readonly imagesPerSecond: number;
  /** Seconds of training in this process. */
  readonly elapsed: number;
  /** Estimated seconds to the end. */
  readonly remaining: number;
}

/** A snapshot that {@link trainingLoop} saved. */
export interface LoopSnapshot {
  /** Its path; undefined if it could not be written. */
  readonly path: string | undefined;
  /** The ticks of the run after which it was due; undefined for one saved because of elapsed time. */
  readonly ticks: number | undefined;
}

/** Callbacks of {@link trainingLoop}. */
export interface LoopHooks {
  /** Called during a step, after each of its forward and backward passes, with the number of its samples done. */
  onPart?(done: number): void;
  /** Called after every step. */
  onStep?(progress: Progress): void;
  /**
   * Measures errors at a tick. They become part of its line of statistics, and the time for them counts as training. It must not
   * change the state.
   */
  measure?(state: TrainingState, time: TickTime): Partial<ErrorStatistics>;
  /** Called after every tick. */
  onTick?(progress: Progress): void;
  /** Called after a snapshot before the end. Its time does not count as training. */
  onSnapshot?(state: TrainingState, snapshot: LoopSnapshot): void | Promise<void>;
  /** Called before and after every step; true ends the loop as if the duration were reached. */
  shouldStop?(): boolean;
  /** Of each statement of this process, whether it or another that shares the training makes it; its own when left out. */
  any?(statements: readonly boolean[]): readonly boolean[];
  /** Seconds, on a clock that only goes forward; the process's own when left out. */
  now?(): number;
  /** What the run has done before; a new run when left out. */
  readonly history?: RunHistory;
}

/** How {@link trainingLoop} ended. */
export interface LoopResult {
  /** "stopped" when `shouldStop` ended it. */
  readonly reason: "finished" | "time limit" | "stopped";
  /** Path of the last snapshot; undefined if it could not be written. */
  readonly snapshot: string | undefined;
  /** Path of the last training state; undefined if it could not be written. */
  readonly state: string | undefined;
  /** Progress at the last step. */
  readonly progress: Progress;
}

/** A loss of this many times the lowest one does not come back. */
const EXPLODED = 1000;

const advice = "try a lower 'lr' or a longer 'lrRampup'";

const exploded = (loss: number, lowest: number, images: number): DivergenceError =>
  new DivergenceError(
    `training diverged after ${images} images: the loss has risen from ${lowest.toPrecision(3)} to ${loss.toPrecision(3)}; ${advice}`,
  );

function diverged(
  { mean, gradientNorm }: StepResult,
  { images, stability: { skipped } }: TrainingState,
): DivergenceError {
  const [before, verb] = skipped === 1 ? ["the last step", "was"] : [`the last ${skipped} steps`, "were"];
  return new DivergenceError(
    `training diverged after ${images} images: ${before} ${verb} skipped, because the loss was ${mean} and the norm of the gradient ${gradientNorm}; ${advice}`,
  );
}

/**
 * Trains until the number of images, the time limit or `shouldStop` ends it, then saves. Statistics are written at every tick.
 *
 * @param state - changed in place
 * @throws DivergenceError when too many steps in a row had to be skipped, or the loss of a tick is a thousand times the lowest one;
 * errors of the writer, such as for a full disk, and before the first step for a network that it cannot store.
 */
export async function trainingLoop(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  options: LoopOptions,
  writer: TrainingWriter,
  {
    onPart,
    onStep,
    measure,
    onTick,
    onSnapshot,
    shouldStop,
    any = (statements) => statements,
    now = () => performance.now() / 1000,
    history = noHistory,
  }: LoopHooks = {},
): Promise<LoopResult> {
  // Before hours of training, not after.
  writer.check?.(state);
  const statistics = new Statistics();
  const start = { time: now(), images: state.images };
  let tick = history.ticks;
  // Ticks continue from the last line of statistics, as if there had been no break.
  let saving = 0;
  let tickStart = { time: start.time, images: tick > 0 ? history.images : start.images, saving };
  let { lowestLoss } = history;
  let lastLoss = Number.NaN;
  let [steps, skipped] = [0, 0];
  let errors: { readonly excess?: number | undefined; readonly heldOut?: number | undefined } = {};
  let nextSave = start.time + Math.min(FIRST_SAVE, options.saveSeconds);

  const progress = (): Progress => {
    const elapsed = now() - start.time;
    const imagesPerSecond = (state.images - start.images) / (elapsed - saving);
    const byImages = (options.totalImages - state.images) / imagesPerSecond;
    const remaining = Math.min(byImages, options.timeLimit - elapsed);
    return {
      images: state.images,
      totalImages: options.totalImages,
      loss: statistics.mean("Loss/loss"),
      lowestLoss,
      steps,
      skipped,
      ...errors,
      imagesPerSecond,
      elapsed,
      remaining: Math.max(0, remaining),
    };
  };

  const countStep = (step: StepResult): void => {
    const { mean, meanSquare, count, gradientNorm, learningRate, oneHot, waited, isSkipped } = step;
    steps++;
    statistics.add("Optimizer/lr", learningRate);
    statistics.add("Optimizer/skipped", isSkipped ? 1 : 0);
    if (oneHot !== undefined) statistics.add("Target/one_hot", oneHot);
    if (waited !== undefined) statistics.add("Timing/ranks_wait_sec", waited);
    if (!isSkipped) {
      statistics.add("Loss/loss", mean, meanSquare, count);
      statistics.add("Optimizer/grad_norm", gradientNorm);
      return;
    }
    skipped++;
    if (state.stability.skipped >= options.mostSkipped) throw diverged(step, state);
  };

  const endReason = (): LoopResult["reason"] | undefined => {
    const [isLate, isStopped] = any([now() - start.time >= options.timeLimit, shouldStop?.() ?? false]);
    // Weights before a step that was skipped may be those of a divergence, so a run does not end there.
    if (state.stability.skipped === 0) {
      if (state.images >= options.totalImages) return "finished";
      if (isLate) return "time limit";
    }
    return isStopped ? "stopped" : undefined;
  };

  const measureErrors = (): Partial<ErrorStatistics> => {
    const [time, images] = [now(), state.images - tickStart.images];
    const measured = measure?.(state, { images, seconds: time - tickStart.time, elapsed: time - start.time }) ?? {};
    const [excess, heldOut] = [measured["Loss/excess"]?.mean, measured["Loss/held_out"]?.mean];
    if (excess !== undefined) errors = { excess, heldOut };
    return measured;
  };

  const writeStatistics = (measured: Partial<ErrorStatistics>): void => {
    const time = now();
    const images = state.images - tickStart.images;
    const seconds = time - tickStart.time;
    statistics.add("Progress/tick", tick);
    statistics.add("Progress/kimg", state.images / 1000);
    statistics.add("Timing/total_sec", history.seconds + time - start.time);
    statistics.add("Timing/sec_per_tick", seconds);
    statistics.add("Timing/sec_per_kimg", images > 0 ? (seconds / images) * 1000 : 0);
    statistics.add("Timing/images_per_sec", images / seconds);
    statistics.add("Timing/maintenance_sec", saving - tickStart.saving);
    for (const [name, value] of Object.entries(resourceStatistics(data.bank.device))) {
      statistics.add(name as StatisticName, value);
    }
    writer.statistics({ ...statistics.take(), ...measured, timestamp: Date.now() / 1000 });
    tickStart = { time, images: state.images, saving };
    [steps, skipped] = [0, 0];
  };

  const facts = (temporary: boolean): CheckpointFacts => {
    const loss = statistics.mean("Loss/loss");
    return { temporary, loss: Number.isNaN(loss) ? lastLoss : loss, lowestLoss };
  };

  /** What ticks have asked for: a snapshot by their number. */
  let due: { snapshot?: number; state?: boolean } = {};

  // What is due by ticks, and both when time has passed. Only what ticks did not ask for is temporary.
  const save = async (): Promise<void> => {
    // The weights may be those of a divergence; what is due is saved after the next step that succeeds.
    if (state.stability.skipped > 0) return;
    const { snapshot: ticks, state: isStateDue = false } = due;
    due = {};
    const isLate = now() >= nextSave;
    const begin = now();
    if (isStateDue || isLate) writer.state(state, facts(!isStateDue));
    if (ticks !== undefined || isLate) {
      const path = writer.snapshot(state, facts(ticks === undefined));
      await onSnapshot?.(state, { path, ticks });
    }
    const spent = now() - begin;
    saving += spent;
    // The speed of the next tick is that of training, too.
    tickStart = { ...tickStart, time: tickStart.time + spent };
    // While a snapshot was saved and measured, nothing was trained that a save could keep.
    nextSave = isStateDue || isLate ? now() + options.saveSeconds : nextSave + spent;
  };

  for (;;) {
    let reason = endReason();
    if (reason === undefined) {
      countStep(trainingStep(state, data, settings, onPart));
      onStep?.(progress());
      // Timers, and anything else that waits for the event loop, get their turn.
      await setImmediate();
      reason = endReason();
    }
    if (reason === undefined && state.images - tickStart.images < options.imagesPerTick) {
      await save();
      continue;
    }
    const report = progress();
    // A run that is stopped before a step has nothing to add to what it wrote before.
    if (state.images > tickStart.images) {
      lastLoss = report.loss;
      lowestLoss = Math.min(lowestLoss, Number.isNaN(lastLoss) ? lowestLoss : lastLoss);
      writeStatistics(measureErrors());
      onTick?.({ ...report, lowestLoss, ...errors });
      tick++;
      if (lastLoss > EXPLODED * lowestLoss) throw exploded(lastLoss, lowestLoss, state.images);
    }
    if (reason !== undefined) {
      // The state first: it matters more, should somebody stop the process at once.
      const saved = writer.state(state, facts(false));
      const snapshot = writer.snapshot(state, facts(false));
      return { reason, snapshot, state: saved, progress: { ...report, ...errors } };
    }
    if (tick % options.snapshotTicks === 0) due.snapshot = tick;
    if (tick % options.stateTicks === 0) due.state = true;
    await save();
  }
}

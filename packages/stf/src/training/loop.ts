/**
 * The training loop: steps, and at every tick a line of statistics, sometimes a checkpoint. When to stop, what time it is and where
 * things are written is for whoever calls it.
 */

import { setImmediate } from "node:timers/promises";
import { memory } from "@stf/torch";
import { noHistory, type RunHistory } from "../run/history.js";
import type { StatsLine } from "../run/statistics.js";
import type { TrainingState } from "./state.js";
import { Statistics } from "./statistics.js";
import { type TrainingData, type TrainingSettings, trainingStep } from "./step.js";

/** How long {@link trainingLoop} trains, and how often it writes what. */
export interface LoopOptions {
  /** Stop at this many images. */
  readonly totalImages: number;
  /** Stop after this many seconds of training. */
  readonly timeLimit: number;
  /** Images between two lines of statistics. */
  readonly imagesPerTick: number;
  /** Ticks between snapshots; one is written at the end in any case. */
  readonly snapshotTicks: number;
  /** Ticks between states; one is written at the end in any case. */
  readonly stateTicks: number;
  /**
   * Seconds after which both are written however far the tick is, the first ones after a minute. They are temporary: a writer may
   * remove all but the latest of them. Infinity for none.
   */
  readonly saveSeconds: number;
}

/** Seconds until the first states and snapshots that are written by time. */
const FIRST_SAVE = 60;

/** What is to be known about a checkpoint beside the state. */
export interface CheckpointFacts {
  /** Whether it was written because time had passed. */
  readonly temporary: boolean;
  /** The latest mean loss per value; NaN before the first step. */
  readonly loss: number;
  /** The lowest mean loss of a tick in this run; infinity before the first. */
  readonly lowestLoss: number;
}

/** Where {@link trainingLoop} writes; `runWriter` writes into a run folder. */
export interface TrainingWriter {
  /** Asked before the first step. @throws what says that this state could not be kept */
  check?(state: TrainingState): void;
  /** Keeps a line of statistics. */
  statistics(line: StatsLine): void;
  /** Keeps the averaged network. Returns where; undefined when it could not, and training is to go on. */
  snapshot(state: TrainingState, facts: CheckpointFacts): string | undefined;
  /** Keeps everything needed to go on. Returns where; undefined when it could not, and training is to go on. */
  state(state: TrainingState, facts: CheckpointFacts): string | undefined;
}

/** How far training is. */
export interface Progress {
  /** Images trained on so far, those of earlier runs included. */
  readonly images: number;
  /** Images at which training stops. */
  readonly totalImages: number;
  /** Mean loss per value since the last tick. */
  readonly loss: number;
  /** In this process; time spent on checkpoints does not count. */
  readonly imagesPerSecond: number;
  /** Seconds of training in this process. */
  readonly elapsed: number;
  /** Estimated seconds to the end. */
  readonly remaining: number;
}

/** What {@link trainingLoop} tells and asks on the way. */
export interface LoopHooks {
  /** After every step. */
  onStep?(progress: Progress): void;
  /** After every tick. */
  onTick?(progress: Progress): void;
  /** After a snapshot on the way. What it takes does not count as training. */
  onSnapshot?(state: TrainingState): void;
  /** Asked before every step; true ends the loop as if the duration were over. */
  shouldStop?(): boolean;
  /** Seconds, on a clock that only goes forward; the process's own when left out. */
  now?(): number;
  /** What the run had done before; nothing when left out. */
  readonly history?: RunHistory;
}

/** How {@link trainingLoop} ended. */
export interface LoopResult {
  /** "stopped" is `shouldStop`'s doing. */
  readonly reason: "finished" | "time limit" | "stopped";
  /** Where the last snapshot is; undefined when it could not be written. */
  readonly snapshot: string | undefined;
  /** Where the last training state is; undefined when it could not be written. */
  readonly state: string | undefined;
  /** As of the last step. */
  readonly progress: Progress;
}

/**
 * Trains until the images, the time, or `shouldStop` says so; then saves. Statistics are written at every tick.
 *
 * @param state - changed in place
 * @throws DivergenceError when the loss or a gradient is not finite; what the writer throws, such as for a full disk, and before
 * the first step for a network that it cannot keep.
 */
export async function trainingLoop(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  options: LoopOptions,
  writer: TrainingWriter,
  { onStep, onTick, onSnapshot, shouldStop, now = () => performance.now() / 1000, history = noHistory }: LoopHooks = {},
): Promise<LoopResult> {
  // Before hours of training, not after them.
  writer.check?.(state);
  const statistics = new Statistics();
  const start = { time: now(), images: state.images };
  let tick = history.ticks;
  // Ticks go on where the last line of statistics was written, as if there had been no break.
  let tickStart = { time: start.time, images: tick > 0 ? history.images : start.images };
  let saving = 0;
  let { lowestLoss } = history;
  let lastLoss = Number.NaN;
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
      imagesPerSecond,
      elapsed,
      remaining: Math.max(0, remaining),
    };
  };

  const endReason = (): LoopResult["reason"] | undefined => {
    if (state.images >= options.totalImages) return "finished";
    if (now() - start.time >= options.timeLimit) return "time limit";
    return shouldStop?.() ? "stopped" : undefined;
  };

  const writeStatistics = (): void => {
    const time = now();
    const images = state.images - tickStart.images;
    const seconds = time - tickStart.time;
    const use = memory();
    statistics.add("Progress/tick", tick);
    statistics.add("Progress/kimg", state.images / 1000);
    statistics.add("Timing/total_sec", history.seconds + time - start.time);
    statistics.add("Timing/sec_per_tick", seconds);
    statistics.add("Timing/sec_per_kimg", images > 0 ? (seconds / images) * 1000 : 0);
    statistics.add("Timing/images_per_sec", images / seconds);
    statistics.add("Resources/cpu_mem_gb", process.memoryUsage().rss / 2 ** 30);
    statistics.add("Resources/tensors", use.tensors);
    statistics.add("Resources/tensor_mem_gb", use.bytes / 2 ** 30);
    writer.statistics({ ...statistics.take(), timestamp: Date.now() / 1000 });
    tickStart = { time, images: state.images };
  };

  const facts = (temporary: boolean): CheckpointFacts => {
    const loss = statistics.mean("Loss/loss");
    return { temporary, loss: Number.isNaN(loss) ? lastLoss : loss, lowestLoss };
  };

  const save = ({ snapshot, dump }: { snapshot: boolean; dump: boolean }, temporary: boolean): void => {
    const begin = now();
    if (dump) writer.state(state, facts(temporary));
    if (snapshot) {
      writer.snapshot(state, facts(temporary));
      onSnapshot?.(state);
    }
    saving += now() - begin;
    if (dump) nextSave = now() + options.saveSeconds;
  };

  for (;;) {
    let reason = endReason();
    if (reason === undefined) {
      const loss = trainingStep(state, data, settings);
      statistics.add("Loss/loss", loss.mean, loss.meanSquare, loss.count);
      onStep?.(progress());
      // Timers, and whoever else waits for the event loop, get their turn.
      await setImmediate();
      reason = endReason();
    }
    if (reason === undefined && state.images - tickStart.images < options.imagesPerTick) {
      if (now() >= nextSave) save({ snapshot: true, dump: true }, true);
      continue;
    }
    const report = progress();
    lastLoss = report.loss;
    lowestLoss = Math.min(lowestLoss, Number.isNaN(lastLoss) ? lowestLoss : lastLoss);
    writeStatistics();
    onTick?.(report);
    tick++;
    if (reason !== undefined) {
      const [snapshot, saved] = [writer.snapshot(state, facts(false)), writer.state(state, facts(false))];
      return { reason, snapshot, state: saved, progress: report };
    }
    save({ snapshot: tick % options.snapshotTicks === 0, dump: tick % options.stateTicks === 0 }, false);
    if (now() >= nextSave) save({ snapshot: true, dump: true }, true);
  }
}

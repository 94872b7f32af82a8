/** The training loop: steps, and at every tick a line of statistics, sometimes a checkpoint. */

import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { memory } from "@stf/torch";
import type { NetworkConfig } from "../networks/build.js";
import { storedConfig } from "../networks/stored-config.js";
import { STATS_FILE, type StatsLine, snapshotPath, statePath } from "../run/format.js";
import { saveSnapshot, saveState } from "./checkpoint.js";
import type { TrainingState } from "./state.js";
import { Statistics } from "./statistics.js";
import { type TrainingData, type TrainingSettings, trainingStep } from "./step.js";

/** How long {@link trainingLoop} trains, and what it writes where. */
export interface LoopOptions {
  /** The run folder; it must exist. */
  readonly folder: string;
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
  /** What the network was built from, stored with its checkpoints. */
  readonly network: NetworkConfig;
  /** The run's options, stored with its checkpoints. */
  readonly options: Record<string, unknown>;
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
  /** Asked before every step; true ends the loop as if the duration were over. */
  shouldStop?(): boolean;
}

/** How {@link trainingLoop} ended. */
export interface LoopResult {
  /** "stopped" is `shouldStop`'s doing. */
  readonly reason: "finished" | "time limit" | "stopped";
  /** Path of the last snapshot. */
  readonly snapshot: string;
  /** Path of the last training state. */
  readonly state: string;
  /** As of the last step. */
  readonly progress: Progress;
}

const seconds = (): number => performance.now() / 1000;

/**
 * Trains until the images, the time, or `shouldStop` says so; then saves. A line of statistics goes to `stats.jsonl` at
 * every tick.
 *
 * @param state - changed in place
 * @throws DivergenceError when the loss or a gradient is not finite; UsageError when checkpoints cannot hold the network's
 * preconditioning, or hold another one; what the file system reports, such as a full disk.
 */
export async function trainingLoop(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  options: LoopOptions,
  hooks: LoopHooks = {},
): Promise<LoopResult> {
  // Before hours of training, not after them.
  storedConfig(state.network, options.network);
  const statistics = new Statistics();
  const start = { time: seconds(), images: state.images };
  let tick = 0;
  let tickStart = { ...start };
  let saving = 0;

  const progress = (): Progress => {
    const elapsed = seconds() - start.time;
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
    if (seconds() - start.time >= options.timeLimit) return "time limit";
    return hooks.shouldStop?.() ? "stopped" : undefined;
  };

  const save = (due: { snapshot: boolean; state: boolean }): { snapshot: string; state: string } => {
    const begin = seconds();
    const paths = {
      snapshot: snapshotPath(options.folder, state.images),
      state: statePath(options.folder, state.images),
    };
    if (due.snapshot)
      saveSnapshot(paths.snapshot, state, options.network, {
        data: data.bank.name,
        seed: settings.seed,
        labelDropout: settings.labelDropout ?? 0,
      });
    if (due.state) saveState(paths.state, state, options.network, options.options);
    saving += seconds() - begin;
    return paths;
  };

  const writeStatistics = (): void => {
    const now = seconds();
    const images = state.images - tickStart.images;
    const use = memory();
    statistics.add("Progress/tick", tick);
    statistics.add("Progress/kimg", state.images / 1000);
    statistics.add("Timing/total_sec", now - start.time);
    statistics.add("Timing/sec_per_tick", now - tickStart.time);
    statistics.add("Timing/sec_per_kimg", images > 0 ? ((now - tickStart.time) / images) * 1000 : 0);
    statistics.add("Timing/images_per_sec", images / (now - tickStart.time));
    statistics.add("Resources/cpu_mem_gb", process.memoryUsage().rss / 2 ** 30);
    statistics.add("Resources/tensors", use.tensors);
    statistics.add("Resources/tensor_mem_gb", use.bytes / 2 ** 30);
    const line: StatsLine = { ...statistics.take(), timestamp: Date.now() / 1000 };
    appendFileSync(join(options.folder, STATS_FILE), `${JSON.stringify(line)}\n`);
    tickStart = { time: now, images: state.images };
  };

  for (;;) {
    let reason = endReason();
    if (reason === undefined) {
      const loss = trainingStep(state, data, settings);
      statistics.add("Loss/loss", loss.mean, loss.meanSquare, loss.count);
      hooks.onStep?.(progress());
      // Timers, and whoever else waits for the event loop, get their turn.
      await setImmediate();
      reason = endReason();
    }
    if (reason === undefined && state.images - tickStart.images < options.imagesPerTick) continue;
    const report = progress();
    writeStatistics();
    hooks.onTick?.(report);
    tick++;
    const ending = reason !== undefined;
    const paths = save({
      snapshot: ending || tick % options.snapshotTicks === 0,
      state: ending || tick % options.stateTicks === 0,
    });
    if (reason !== undefined) return { reason, ...paths, progress: report };
  }
}

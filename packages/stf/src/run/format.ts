/** The run folder: what a training run leaves behind, and how it is named. A contract with everything that reads runs. */

import { join } from "node:path";

/** One statistic since the previous line. */
export interface Statistic {
  /** How many values it is made of. */
  readonly num: number;
  /** Their mean. */
  readonly mean: number;
  /** Their standard deviation, divided by `num`; 0 for one value. */
  readonly std: number;
}

/** One line of stats.jsonl: statistics by name, and when it was written. */
export interface StatsLine {
  /** Seconds since 1970. */
  readonly timestamp: number;
  /** By name, such as "Loss/loss". */
  readonly [name: string]: Statistic | number;
}

export const STATS_FILE = "stats.jsonl";
export const OPTIONS_FILE = "training_options.json";
export const LOG_FILE = "log.txt";
/** How the images of a folder were drawn. */
export const GENERATE_OPTIONS_FILE = "generate_options.json";

const kimg = (images: number): string => String(Math.floor(images / 1000)).padStart(6, "0");

/** The averaged network after `images` training images. */
export const snapshotPath = (run: string, images: number): string =>
  join(run, `network-snapshot-${kimg(images)}.safetensors`);

/** Everything needed to go on, after `images` training images. */
export const statePath = (run: string, images: number): string =>
  join(run, `training-state-${kimg(images)}.safetensors`);

/** Pictures drawn after `images` training images. */
export const samplesPath = (run: string, images: number): string => join(run, `samples-${kimg(images)}.png`);

const STATE_PATTERN = /^training-state-(\d+)\.safetensors$/;

/** The names of a folder's training states, oldest first. */
export function stateNames(names: readonly string[]): string[] {
  return names
    .filter((name) => STATE_PATTERN.test(name))
    .sort((a, b) => Number(STATE_PATTERN.exec(a)?.[1]) - Number(STATE_PATTERN.exec(b)?.[1]));
}

/** "28x28x1": width, height, channels. */
export function formatImageShape({
  width,
  height,
  channels,
}: {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
}): string {
  return `${width}x${height}x${channels}`;
}

/** A noise level, to four digits. */
export function formatLevel(level: number): string {
  return Number(level.toPrecision(4)).toString();
}

/** "5s", "3m 07s", "1h 02m 03s", "2d 03h 04m" */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, "0");
  const [s, m, h, d] = [
    whole % 60,
    Math.floor(whole / 60) % 60,
    Math.floor(whole / 3600) % 24,
    Math.floor(whole / 86_400),
  ];
  if (whole < 60) return `${s}s`;
  if (whole < 3600) return `${m}m ${two(s)}s`;
  if (whole < 86_400) return `${h}h ${two(m)}m ${two(s)}s`;
  return `${d}d ${two(h)}h ${two(m)}m`;
}

/** The run folder: what a training run leaves behind, and how it is named. A contract with everything that reads runs. */

import { join } from "node:path";

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

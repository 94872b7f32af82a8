/** The run folder: the files of a training run and their names, a contract with every program that reads runs. */

import { basename, join } from "node:path";

export const STATS_FILE = "stats.jsonl";
export const OPTIONS_FILE = "training_options.json";
export const LOG_FILE = "log.txt";
/** Records how the images of a folder were drawn. */
export const GENERATE_OPTIONS_FILE = "generate_options.json";

/** A process that trains the run holds the lock on this file. */
export const LOCK_FILE = ".lock";

const stamp = (images: number): string => String(images).padStart(9, "0");

/** The averaged network after `images` training images. */
export const snapshotPath = (run: string, images: number): string =>
  join(run, `network-snapshot-${stamp(images)}.safetensors`);

/** Everything needed to resume, after `images` training images. */
export const statePath = (run: string, images: number): string =>
  join(run, `training-state-${stamp(images)}.safetensors`);

/** The averages after `images` training images, from which others can be made. */
export const averagesPath = (run: string, images: number): string => join(run, `averages-${stamp(images)}.safetensors`);

/** The network with the average of a width, made from those in other files. */
export const reconstructedPath = (folder: string, images: number, width: number): string =>
  join(folder, `network-${stamp(images)}-ema-${width}.safetensors`);

/** Samples drawn after `images` training images. */
export const samplesPath = (run: string, images: number, weights: "averaged" | "raw" = "averaged"): string =>
  join(run, `samples-${stamp(images)}${weights === "raw" ? "-raw" : ""}.png`);

/** Numbers of quality of the network snapshot after `images` training images. */
export const metricsPath = (run: string, images: number): string => join(run, `metrics-${stamp(images)}.json`);

const STAMPED = /^(training-state|network-snapshot|averages|samples|metrics)-(\d+)(?:-raw)?\.(?:safetensors|png|json)$/;

/**
 * Number of training images in the name of a run's file; undefined for other files. Names with fewer than nine
 * digits count thousands, as in earlier versions and the published code.
 */
export function imagesInName(name: string): number | undefined {
  const digits = STAMPED.exec(name)?.[2];
  if (digits === undefined) return undefined;
  return digits.length < 9 ? 1000 * Number(digits) : Number(digits);
}

/** The same of a path, whose name must have one. */
export const imagesInPath = (path: string): number => imagesInName(basename(path)) as number;

/** What a grid of samples shows, by the name of its file; undefined for other files. */
export function samplesIn(name: string): { readonly images: number; readonly weights: "averaged" | "raw" } | undefined {
  if (STAMPED.exec(name)?.[1] !== "samples") return undefined;
  return { images: imagesInName(name) as number, weights: name.endsWith("-raw.png") ? "raw" : "averaged" };
}

/** The kinds of checkpoints, as their names begin. */
export type CheckpointKind = "training-state" | "network-snapshot" | "averages";

/** The names of a folder's files of one kind, oldest first. */
export function stampedNames(names: readonly string[], kind: CheckpointKind): string[] {
  return names
    .filter((name) => STAMPED.exec(name)?.[1] === kind)
    .sort((a, b) => (imagesInName(a) as number) - (imagesInName(b) as number));
}

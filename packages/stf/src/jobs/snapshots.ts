/** Network snapshots by file or by run folder. */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { stampedNames } from "../run/files.js";

/**
 * The network snapshots that paths name: a file stands for itself, a run folder for all its snapshots, oldest first.
 *
 * @throws InputError for a folder without snapshots
 */
export function snapshotsOf(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return [path];
    const names = stampedNames(readdirSync(path), "network-snapshot");
    if (names.length === 0) {
      throw new InputError(`${path} must be a network snapshot or a run folder with some, found neither`);
    }
    return names.map((name) => join(path, name));
  });
}

/** A snapshot, and a note if it was chosen. */
export interface FoundSnapshot {
  readonly path: string;
  readonly notes: readonly string[];
}

/**
 * The network snapshot that a path names: the file itself, or the latest one of a run folder.
 *
 * @throws InputError for a folder without snapshots
 */
export function latestSnapshot(path: string): FoundSnapshot {
  const latest = snapshotsOf([path]).at(-1) as string;
  return { path: latest, notes: latest === path ? [] : [`using the latest network snapshot of the run, ${latest}`] };
}

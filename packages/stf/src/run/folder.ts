/** Making and finding run folders. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { makeFolder } from "../common/folders.js";
import { LOCK_FILE, OPTIONS_FILE, stampedNames } from "./files.js";

const statesIn = (folder: string): string[] => stampedNames(readdirSync(folder), "training-state");

/** Whether a folder holds a run that can be resumed. */
export function isResumable(folder: string): boolean {
  return statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true && statesIn(folder).length > 0;
}

/** The path of the latest training state in a folder; undefined without one, and without the folder. */
export function newestState(folder: string): string | undefined {
  const name = isResumable(folder) ? statesIn(folder).at(-1) : undefined;
  return name === undefined ? undefined : join(folder, name);
}

/** What a run leaves that ended before it had written its options. */
const isTrace = (name: string): boolean => name === LOCK_FILE || name.endsWith(".partial");

/** Makes a folder for a run, or takes one that is empty or holds a run which ended before its first training state. */
export function makeNewFolder(path: string): string {
  if (existsSync(path)) {
    const isFolder = statSync(path).isDirectory();
    const isFree = isFolder && (existsSync(join(path, OPTIONS_FILE)) || readdirSync(path).every(isTrace));
    if (!isFree || statesIn(path).length > 0) {
      throw new InputError(
        `the run needs a folder of its own, and ${path} is ${isFolder ? "one with other files" : "a file"}; choose another 'name'`,
      );
    }
  }
  return makeFolder(path);
}

/**
 * The run in a folder of runs whose latest training state was written last.
 *
 * @throws InputError when there is none
 */
export function latestRun(parent: string): string {
  const runs = statSync(parent, { throwIfNoEntry: false })?.isDirectory()
    ? readdirSync(parent)
        .map((name) => join(parent, name))
        .filter(isResumable)
    : [];
  const dated = runs.map((run) => ({ run, time: statSync(join(run, statesIn(run).at(-1) as string)).mtimeMs }));
  const latest = dated.sort((a, b) => a.time - b.time).at(-1);
  if (!latest) {
    throw new InputError(`${parent} has no run with a training state; name a run folder or a state with 'resume'`);
  }
  return latest.run;
}

/** Makes "00003-description" inside `parent`, one above the highest number there. */
export function makeNumberedFolder(parent: string, description: string): string {
  makeFolder(parent);
  const numbers = readdirSync(parent).map((name) => Number(/^(\d+)/.exec(name)?.[1] ?? -1));
  const next = Math.max(-1, ...numbers) + 1;
  return makeFolder(join(parent, `${String(next).padStart(5, "0")}-${description}`));
}

/**
 * The training states at a path, the one to resume from first: the file itself, or those of a run folder from the latest to
 * the earliest.
 *
 * @throws InputError when there is none.
 */
export function findStates(path: string): string[] {
  if (!existsSync(path)) throw new InputError(`there is no training state or run folder at ${path}`);
  if (statSync(path).isFile()) return [path];
  const names = stampedNames(readdirSync(path), "training-state");
  if (names.length === 0) throw new InputError(`${path} holds no training state (training-state-*.safetensors)`);
  return names.reverse().map((name) => join(path, name));
}

/** Making and finding run folders. */

import { accessSync, constants, existsSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { InputError } from "./errors.js";
import { stateNames } from "./format.js";

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === "EACCES" || code === "EPERM") return "no permission to write there";
  if (code === "EROFS") return "the file system is read-only";
  if (code === "ENOENT") return "nothing can be made there";
  if (code === "ENOSPC") return "the disk is full";
  if (code === "ENOTDIR" || code === "EEXIST") return "a file is in the way";
  return error instanceof Error ? error.message : String(error);
}

/** Makes a folder and those above it. Node's own recursive form never returns where a folder refuses to hold new ones. */
function makeWithParents(path: string): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    return;
  }
  makeWithParents(dirname(resolve(path)));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have been faster.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/**
 * @param option - what named it
 * @throws InputError when the folder cannot be made.
 */
export function makeFolder(path: string, option = "outdir"): string {
  try {
    makeWithParents(path);
    return path;
  } catch (cause) {
    throw new InputError(`the folder ${path} cannot be made: ${reason(cause)}; choose another by '${option}'`, {
      cause,
    });
  }
}

/**
 * Makes the folder of a file that will be written after much work, and tries whether it can be.
 *
 * @param option - what named the file
 * @throws InputError when it cannot.
 */
export function makeFolderFor(path: string, option: string): void {
  const folder = makeFolder(dirname(path), option);
  try {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
      throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    }
    accessSync(folder, constants.W_OK);
  } catch (cause) {
    throw new InputError(`${path} cannot be written: ${reason(cause)}; choose another by '${option}'`, { cause });
  }
}

/** The first of many names, and how many more there are. */
export function abbreviated(names: readonly string[]): string {
  const shown = names.slice(0, 4).join(", ");
  return names.length > 4 ? `${shown} and ${names.length - 4} more` : shown;
}

/** Makes a folder that may not be there yet. */
export function makeNewFolder(path: string): string {
  if (existsSync(path)) {
    throw new InputError(
      `there is a run at ${path} already: go on with it by 'resume=${path}', or choose another 'name'`,
    );
  }
  return makeFolder(path);
}

/** Makes "00003-description" inside `parent`, one above the highest number there. */
export function makeNumberedFolder(parent: string, description: string): string {
  makeFolder(parent);
  const numbers = readdirSync(parent).map((name) => Number(/^(\d+)/.exec(name)?.[1] ?? -1));
  const next = Math.max(-1, ...numbers) + 1;
  return makeFolder(join(parent, `${String(next).padStart(5, "0")}-${description}`));
}

/**
 * Removes what a process that was killed in the middle of a write has left in a folder, as large as a checkpoint.
 *
 * @param of - the file that was written; any when left out
 */
export function removePartialFiles(folder: string, of?: string): void {
  for (const name of readdirSync(folder)) {
    const written = /^\.(.+)\.\d+\.partial$/.exec(name)?.[1];
    if (written !== undefined && (of ?? written) === written) rmSync(join(folder, name), { force: true });
  }
}

/**
 * The training state that a path means: the file itself, or the latest in a run folder.
 *
 * @throws InputError when there is none.
 */
export function findState(path: string): string {
  if (!existsSync(path)) throw new InputError(`there is no training state or run folder at ${path}`);
  if (statSync(path).isFile()) return path;
  const latest = stateNames(readdirSync(path)).at(-1);
  if (!latest) throw new InputError(`${path} holds no training state (training-state-*.safetensors)`);
  return join(path, latest);
}

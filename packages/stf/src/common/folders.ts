/** Writable folders. */

import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
} from "node:fs";
import { dirname, join, resolve } from "node:path";
import { InputError } from "./errors.js";

/** Whether the file system refused something. */
export function isFileProblem(error: unknown): boolean {
  const { code } = Object(error) as NodeJS.ErrnoException;
  return typeof code === "string" && /^E[A-Z0-9]+$/.test(code);
}

/** Why something cannot be written, in words. */
export function problemOf(error: unknown): string {
  const { code } = Object(error) as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM") return "no permission to write there";
  if (code === "EROFS") return "the file system is read-only";
  if (code === "ENOENT") return "nothing can be created there";
  if (code === "ENOSPC" || code === "EDQUOT") return "the disk is full";
  if (code === "EFBIG") return "the file would be larger than ulimit -f allows";
  if (code === "EMFILE" || code === "ENFILE") return "too many files are open; allow more with ulimit -n";
  if (code === "ENOTDIR" || code === "EEXIST") return "a file of that name exists";
  return error instanceof Error ? error.message : String(error);
}

/** Why something cannot be read, in words. */
export function readProblemOf(error: unknown): string {
  const { code } = Object(error) as NodeJS.ErrnoException;
  if (code === "EACCES" || code === "EPERM") return "no permission to read it";
  if (code === "ENOENT") return "there is no such file";
  if (code === "EISDIR") return "it is a folder";
  if (code === "ENOTDIR") return "a part of its path is not a folder";
  return problemOf(error);
}

/** Makes a folder and its parents. Node's recursive form never returns if a folder refuses new entries. */
export function makeFolders(path: string): void {
  if (existsSync(path)) {
    if (!statSync(path).isDirectory()) throw Object.assign(new Error("not a folder"), { code: "ENOTDIR" });
    return;
  }
  makeFolders(dirname(resolve(path)));
  try {
    mkdirSync(path);
  } catch (error) {
    // Another process may have made it first.
    if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) throw error;
  }
}

/** Removes an empty folder. */
export function removeEmptyFolder(path: string): void {
  if (existsSync(path) && statSync(path).isDirectory() && readdirSync(path).length === 0) rmdirSync(path);
}

/**
 * @param option - the option that named it
 * @throws InputError when the folder cannot be made.
 */
export function makeFolder(path: string, option = "outdir"): string {
  try {
    makeFolders(path);
    return path;
  } catch (cause) {
    throw new InputError(`the folder ${path} cannot be made: ${problemOf(cause)}; choose another with '${option}'`, {
      cause,
    });
  }
}

/**
 * Makes the folder of a file that will be written after much work, and checks that the file can be written.
 *
 * @param option - the option that named the file
 * @throws InputError when it cannot.
 */
export function makeFolderFor(path: string, option: string): void {
  const folder = makeFolder(dirname(path), option);
  try {
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isDirectory()) throw Object.assign(new Error("it is a folder"), { code: "EISDIR" });
    // A complete file takes the place of what has its name: of /dev/null, for the whole machine.
    if (found && !found.isFile()) throw new Error("it is a device or a pipe, which a file would replace");
    accessSync(folder, constants.W_OK);
  } catch (cause) {
    throw new InputError(`${path} cannot be written: ${problemOf(cause)}; choose another with '${option}'`, { cause });
  }
}

/**
 * Removes partial files, as large as a checkpoint, that a process killed during a write left in a folder.
 *
 * @param of - the file that was written; any when left out
 */
export function removePartialFiles(folder: string, of?: string): void {
  for (const name of readdirSync(folder)) {
    const written = /^\.(.+)\.\d+\.partial$/.exec(name)?.[1];
    if (written !== undefined && (of ?? written) === written) rmSync(join(folder, name), { force: true });
  }
}

/** Bytes that can still be written to the file system of a folder; infinity if it does not tell. */
export function freeBytes(folder: string): number {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

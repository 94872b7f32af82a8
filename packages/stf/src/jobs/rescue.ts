/** Places for what took long to make, when it cannot be written where it was to be. */

import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, parse, resolve } from "node:path";
import { InputError } from "../common/errors.js";
import { isFileProblem, makeFolders, problemOf } from "../common/folders.js";

/** The path, or the first like it under which nothing lies: "grid-2.png". */
function unused(path: string): string {
  const { dir, name, ext } = parse(path);
  let free = path;
  for (let number = 2; existsSync(free); number++) free = join(dir, `${name}-${number}${ext}`);
  return free;
}

/** Places for something, nearest first: the folder it is named in, the current one, and that of temporary files, which may be another disk. */
export function otherPlaces(path: string): string[] {
  const paths = [path, basename(path), join(tmpdir(), basename(path))];
  return [...new Set(paths.map((place) => unused(resolve(place))))];
}

/** Where a file is. */
export interface Written {
  readonly path: string;
  /** Why it is not where it was to be, in one line; undefined when it is. */
  readonly problem: string | undefined;
}

/**
 * Writes a file that is the result of much work: where it was to be, or where there is a place for it.
 *
 * @param write - writes it under a path
 * @throws InputError when there is none
 */
export async function writeOrRescue(path: string, write: (path: string) => void | Promise<void>): Promise<Written> {
  let first: unknown;
  for (const place of [path, ...otherPlaces(path)]) {
    try {
      makeFolders(dirname(place));
      await write(place);
      if (first === undefined) return { path, problem: undefined };
      return { path: place, problem: `${path} could not be written: ${problemOf(first)}; it is ${place} instead` };
    } catch (error) {
      if (!isFileProblem(error)) throw error;
      first ??= error;
    }
  }
  throw new InputError(`${path} could not be written there or elsewhere: ${problemOf(first)}`, { cause: first });
}

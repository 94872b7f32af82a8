/** Alternative paths for costly results that cannot be written to their own path. */

import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, parse, resolve } from "node:path";
import { InputError } from "../common/errors.js";
import { isFileProblem, makeFolders, problemOf } from "../common/folders.js";

/** The path, or the first free one like it: "grid-2.png". */
function unused(path: string): string {
  const { dir, name, ext } = parse(path);
  let free = path;
  for (let number = 2; existsSync(free); number++) free = join(dir, `${name}-${number}${ext}`);
  return free;
}

/** Alternative paths, nearest first: in the same folder, the current folder, and the temporary folder, which may be on another disk. */
export function otherPlaces(path: string): string[] {
  const paths = [path, basename(path), join(tmpdir(), basename(path))];
  return [...new Set(paths.map((place) => unused(resolve(place))))];
}

/** Where a file was written. */
export interface Written {
  readonly path: string;
  /** Why it is not at the requested path, in one line; undefined if it is. */
  readonly problem: string | undefined;
}

/**
 * Writes a file that was costly to make: to its path, or to an alternative one.
 *
 * @param write - writes it to a path
 * @throws InputError when none can be written
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
  throw new InputError(`${path} could not be written, nor any alternative path: ${problemOf(first)}`, { cause: first });
}

/** Making and finding run folders. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { InputError } from "../common/errors.js";
import { makeFolder } from "../common/folders.js";
import { stampedNames } from "./files.js";

/** Makes a folder that must not exist yet. */
export function makeNewFolder(path: string): string {
  if (existsSync(path)) {
    throw new InputError(
      `there is a run at ${path} already: resume it with 'resume=${path}', or choose another 'name'`,
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

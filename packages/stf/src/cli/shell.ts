/** Commands that users can paste into a shell. */

import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { shellQuote } from "../common/text.js";

/** The nearest path of this name in a folder or its parents. */
function findAbove(folder: string, name: string): string | undefined {
  const path = join(folder, name);
  if (existsSync(path)) return path;
  const above = dirname(folder);
  return above === folder ? undefined : findAbove(above, name);
}

const packageOf = (file: string): string | undefined => findAbove(dirname(realpathSync(file)), "package.json");

/**
 * The command that starts this program again from the same folder: `npx stf` if npx finds it locally (elsewhere npx would ask
 * the registry), else `stf` or the script.
 *
 * @param script - the path passed to Node
 * @param folder - the working folder
 */
export function ownCommand(script = process.argv[1] ?? "stf", folder = process.cwd()): string {
  const installed = findAbove(folder, join("node_modules", ".bin", "stf"));
  if (installed !== undefined && packageOf(installed) === packageOf(script)) return "npx stf";
  return basename(script) === "stf" ? "stf" : `node ${shellQuote(script)}`;
}

/** A command of `stf` with its arguments; an option is one word, such as `--data=my photos`. */
export const pasteable = (...words: readonly string[]): string => [ownCommand(), ...words.map(shellQuote)].join(" ");

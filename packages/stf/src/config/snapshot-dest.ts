/** The option 'dest' of commands that write a network snapshot. */

import { existsSync, realpathSync, statSync } from "node:fs";
import { basename, resolve } from "node:path";
import { UsageError } from "../common/errors.js";

/** Whether two paths name one file, also through links. */
const isSameFile = (one: string, other: string): boolean =>
  resolve(one) === resolve(other) ||
  (existsSync(one) && existsSync(other) && realpathSync(one) === realpathSync(other));

/**
 * @param dest - the file to write
 * @param source - the file that it is made from, and its name in messages
 * @throws UsageError when a network snapshot cannot be written there
 */
export function snapshotDest(
  dest: string | null,
  { path, name }: { readonly path: string; readonly name: string },
): string {
  if (dest === null)
    throw new UsageError("'dest' must name the network snapshot to write, such as network.safetensors");
  if (isSameFile(dest, path)) throw new UsageError(`'dest' must differ from ${name}`);
  if (existsSync(dest) && !statSync(dest).isFile())
    throw new UsageError(`'dest' must name a file; ${dest} is a folder or a device`);
  if (!/\.safetensors$/i.test(dest)) {
    throw new UsageError(`'dest' must name a *.safetensors file, the format that is written, found ${dest}`);
  }
  if (existsSync(dest) && basename(dest).startsWith("training-state-"))
    throw new UsageError(`'dest' must not replace a training state, which its run needs to resume, found ${dest}`);
  if (existsSync(dest) && basename(dest).startsWith("averages-"))
    throw new UsageError(`'dest' must not replace averages of a run, from which others are made, found ${dest}`);
  return dest;
}

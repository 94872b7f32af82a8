/** The command that makes a data set of images that cannot be trained on as they are. */

import { basename, dirname, join } from "node:path";
import { shellQuote } from "../common/text.js";

/** A side for square images cut from larger ones: the power of two that the least side allows, at most 64. */
export function suggestedSide(leastSide: number): number {
  return 2 ** Math.min(6, Math.floor(Math.log2(Math.max(leastSide, 1))));
}

/**
 * The options of `stf dataset convert` for images at a path.
 *
 * @param side - of the square images; undefined if they keep their size
 */
export function conversionOptions(source: string, side: number | undefined): string[] {
  const name = basename(source).replace(/\.(zip|tar|tgz|tar\.gz)$/i, "");
  const size = side === undefined ? undefined : `${side}x${side}`;
  const dest = join(dirname(source), `${name}-${size ?? "dataset"}.zip`);
  const options = [`--source=${source}`, `--dest=${dest}`];
  return size === undefined ? options : [...options, `--resolution=${size}`, "--transform=center-crop"];
}

/** The whole command, for messages. */
export function conversionCommand(source: string, side: number | undefined): string {
  return ["npx stf dataset convert", ...conversionOptions(source, side).map(shellQuote)].join(" ");
}

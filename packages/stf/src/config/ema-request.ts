/** A request for averages of other widths: the options of `stf ema`, checked together. */

import { statSync } from "node:fs";
import { UsageError } from "../common/errors.js";
import { type EmaOptions, emaFields } from "./ema-options.js";
import { checkValues, resolve } from "./fields.js";

/** What to average, and where to write it: the options of `stf ema`. */
export interface EmaRequest extends Partial<EmaOptions> {
  /** A run folder trained with `average: "power"`, or files of averages of one run. */
  readonly from: string | readonly string[];
}

/** A request with all options resolved. */
export interface ResolvedEma extends EmaOptions {
  readonly from: readonly string[];
  /** Without repetitions. */
  readonly width: readonly number[];
  readonly dest: string;
  /** Whether `dest` is a folder, which gets a file for each width. */
  readonly isFolder: boolean;
}

/** @throws UsageError when an option is missing or out of range, or `dest` cannot take the networks */
export function emaOptions({ from, ...request }: EmaRequest): ResolvedEma {
  const options = resolve(emaFields, checkValues(emaFields, request, "the request"));
  const { dest } = options;
  if (options.width === null) {
    throw new UsageError("'width' must list the widths of the averages, such as 'width=0.05,0.1,0.15'");
  }
  const width = [...new Set(options.width)];
  if (dest === null) {
    throw new UsageError(
      "'dest' must name the network snapshot to write, such as network.safetensors, or a folder for several",
    );
  }
  const found = statSync(dest, { throwIfNoEntry: false });
  if (width.length > 1 && (found ? !found.isDirectory() : /\.safetensors$/i.test(dest))) {
    throw new UsageError(`'dest' must name a folder, as there are ${width.length} widths, found the file ${dest}`);
  }
  const isFolder = width.length > 1 || found?.isDirectory() === true;
  return { ...options, from: typeof from === "string" ? [from] : from, width, dest, isFolder };
}

/** Requests to convert or check a data set: the options of `stf dataset`, checked together. */

import { isAbsolute, relative, resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { type CheckOptions, type ConvertOptions, checkFields, convertFields } from "./dataset-options.js";
import { checkValues, resolve } from "./fields.js";

/** What to convert, and where to write it: the options of `stf dataset convert`. Anything left out takes its default. */
export type ConvertRequest = Partial<ConvertOptions>;

/** A request with all options resolved. */
export interface ResolvedConvert extends ConvertOptions {
  readonly source: string;
  readonly dest: string;
}

/** @throws UsageError when an option is missing, out of range, or contradicts another */
export function convertOptions(request: ConvertRequest): ResolvedConvert {
  const options = resolve(convertFields, checkValues(convertFields, request, "the request"));
  const { source, dest, transform, resolution, channels } = options;
  if (source === null) throw new UsageError("'source' must name the images to convert");
  if (dest === null) {
    throw new UsageError("'dest' must name the data set to write, such as 'dest=photos-64x64.zip', or a folder");
  }
  if (resolvePath(source) === resolvePath(dest)) throw new UsageError("'dest' must differ from 'source'");
  const isFolder = !/zip$/i.test(dest);
  if (isFolder && !relative(source, dest).startsWith("..") && !isAbsolute(relative(source, dest))) {
    throw new UsageError(
      `'dest' must lie outside 'source', whose images its own would join, found ${dest} in ${source}`,
    );
  }
  if (transform !== "none" && resolution === null) {
    throw new UsageError(`'transform=${transform}' needs the size of the results, such as 'resolution=64x64'`);
  }
  const [width = 0, height = 0] = resolution ?? [];
  if (transform === "center-crop-wide" && height > width) {
    throw new UsageError(
      `'transform=center-crop-wide' needs a width of at least the height, such as 'resolution=64x36', found ${width}x${height}`,
    );
  }
  if (channels === 2) throw new UsageError("'channels' must be 1 (grey) or 3 (RGB), found 2");
  return { ...options, source, dest };
}

/** What to check: the options of `stf dataset check`. */
export interface CheckRequest extends Partial<CheckOptions> {
  /** The images. */
  readonly data: string;
}

/** A request with all options resolved. */
export interface ResolvedCheck extends CheckOptions {
  readonly data: string;
}

/** @throws UsageError when an option is out of range */
export function checkOptions({ data, ...request }: CheckRequest): ResolvedCheck {
  return { ...resolve(checkFields, checkValues(checkFields, request, "the request")), data };
}

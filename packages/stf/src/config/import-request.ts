/** A request to import a checkpoint: the options of `stf import`, checked together. */

import { existsSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { checkValues, resolve } from "./fields.js";
import { type ImportOptions, importFields } from "./import-options.js";

/** What to import, and where to write it; the options of `stf import`. */
export interface ImportRequest extends Partial<ImportOptions> {
  /** The checkpoint: a .pkl snapshot of EDM or STF, a .pt or .pth of PyTorch, or safetensors. */
  readonly file: string;
}

/** A request with all options resolved. */
export interface ResolvedImport extends ImportOptions {
  readonly file: string;
  readonly dest: string;
}

/** @throws UsageError when an option is out of range, or the file cannot be written to `dest` */
export function importOptions({ file, ...request }: ImportRequest): ResolvedImport {
  const options = resolve(importFields, checkValues(importFields, request, "the request"));
  const { dest } = options;
  if (dest === null)
    throw new UsageError("'dest' must name the network snapshot to write, such as network.safetensors");
  if (resolvePath(dest) === resolvePath(file)) throw new UsageError("'dest' must differ from the file to import");
  if (existsSync(dest) && !statSync(dest).isFile())
    throw new UsageError(`'dest' must name a file; ${dest} is a folder`);
  if (!/\.safetensors$/i.test(dest)) {
    throw new UsageError(`'dest' must name a *.safetensors file, the format that is written, found ${dest}`);
  }
  return { ...options, file, dest };
}

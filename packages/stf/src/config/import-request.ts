/** A request to import a checkpoint: the options of `stf import`, checked together. */

import { checkValues, resolve } from "./fields.js";
import { type ImportOptions, importFields } from "./import-options.js";
import { snapshotDest } from "./snapshot-dest.js";

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
  const dest = snapshotDest(options.dest, { path: file, name: "the file to import" });
  return { ...options, file, dest };
}

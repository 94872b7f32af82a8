/** Importing a checkpoint as a job: from a file made elsewhere to a network snapshot. */

import { basename, dirname } from "node:path";
import { importNetwork } from "../checkpoints/foreign/import.js";
import { saveNetwork } from "../checkpoints/network-file.js";
import { makeFolder } from "../common/folders.js";
import { type ImportRequest, importOptions } from "../config/import-request.js";
import type { NetworkConfig } from "../networks/build.js";

/** What was imported. */
export interface ImportResult {
  /** Path of the network snapshot. */
  readonly dest: string;
  /** What the network is built from. */
  readonly config: NetworkConfig;
  /** Numbers in the network. */
  readonly parameterCount: number;
  /** What kind of file it was, in words. */
  readonly format: string;
  /** Which part of the file holds the network; undefined where it holds nothing else. */
  readonly part: string | undefined;
  /** Whether the file calls these weights an average. */
  readonly isAveraged: boolean;
  /** What in the file was passed over. */
  readonly skipped: readonly string[];
}

/** Undefined where the file is to say it. */
const chosen = <T extends string>(value: T): Exclude<T, "auto"> | undefined =>
  value === "auto" ? undefined : (value as Exclude<T, "auto">);

/**
 * Turns a checkpoint made elsewhere into a network snapshot. Nothing in it is executed.
 *
 * @throws UsageError for a request that cannot be; InputError and FileFormatError for a file that cannot be used.
 */
export function importCheckpoint(request: ImportRequest): ImportResult {
  const { file, dest, which, arch, precond } = importOptions(request);
  const { denoiser, config, source } = importNetwork(file, { which, arch: chosen(arch), precond: chosen(precond) });
  try {
    const { format, part, skipped, isAveraged = false } = source;
    makeFolder(dirname(dest), "dest");
    saveNetwork(dest, denoiser, config, { imported: basename(file), ...(part === undefined ? {} : { part }) });
    return { dest, config, parameterCount: denoiser.parameterCount, format, part, isAveraged, skipped };
  } finally {
    denoiser.dispose();
  }
}

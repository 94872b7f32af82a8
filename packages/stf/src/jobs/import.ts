/** Importing a checkpoint as a job: from another program's file to a network snapshot. */

import { basename, dirname } from "node:path";
import { importNetwork } from "../checkpoints/foreign/import.js";
import { saveNetwork } from "../checkpoints/network-file.js";
import { makeFolder } from "../common/folders.js";
import { type ImportRequest, importOptions } from "../config/import-request.js";
import type { NetworkConfig } from "../networks/build.js";

/** The result of an import. */
export interface ImportResult {
  /** Path of the network snapshot. */
  readonly dest: string;
  /** The configuration of the network. */
  readonly config: NetworkConfig;
  /** Number of parameters in the network. */
  readonly parameterCount: number;
  /** Kind of the file, in words. */
  readonly format: string;
  /** The part of the file that holds the network; undefined if the file holds nothing else. */
  readonly part: string | undefined;
  /** Whether the file calls these weights an average. */
  readonly isAveraged: boolean;
  /** Parts of the file that were skipped. */
  readonly skipped: readonly string[];
}

/** Undefined if the file decides. */
const chosen = <T extends string>(value: T): Exclude<T, "auto"> | undefined =>
  value === "auto" ? undefined : (value as Exclude<T, "auto">);

/**
 * Converts a checkpoint of another program to a network snapshot. Nothing in it is executed.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for a file that cannot be used.
 */
export function importCheckpoint(request: ImportRequest): ImportResult {
  const { file, dest, which, arch, precond } = importOptions(request);
  const { denoiser, config, source } = importNetwork(file, { which, arch: chosen(arch), precond: chosen(precond) });
  try {
    const { format, part, skipped, isAveraged = false } = source;
    makeFolder(dirname(dest), "dest");
    const about = { imported: basename(file), weights: isAveraged ? "averaged" : "raw" };
    saveNetwork(dest, denoiser, config, part === undefined ? about : { ...about, part });
    return { dest, config, parameterCount: denoiser.parameterCount, format, part, isAveraged, skipped };
  } finally {
    denoiser.dispose();
  }
}

/** `stf import` */

import { basename, dirname } from "node:path";
import { importNetwork } from "../checkpoints/import.js";
import { makeFolder } from "../run/folder.js";
import { formatImageShape } from "../run/format.js";
import { saveNetwork } from "../training/checkpoint.js";
import type { ImportRequest } from "./import-command.js";
import { abbreviated } from "./options.js";

/** Undefined where the file is to say it. */
const chosen = <T extends string>(value: T): Exclude<T, "auto"> | undefined =>
  value === "auto" ? undefined : (value as Exclude<T, "auto">);

/** Runs the command. Returns the exit code. */
export function importCheckpoint(file: string, { dest, ...options }: ImportRequest): number {
  const { denoiser, config, source } = importNetwork(file, {
    which: options.which,
    arch: chosen(options.arch),
    precond: chosen(options.precond),
  });
  const { format, part, skipped } = source;
  const classes = config.labelDim ? `, ${config.labelDim} classes` : "";
  makeFolder(dirname(dest));
  saveNetwork(dest, denoiser, config, { imported: basename(file), ...(part === undefined ? {} : { part }) });
  const lines = [
    `read        ${file}: ${format}${part === undefined ? "" : `, its "${part}"`}`,
    `network     ${config.arch}, preconditioning ${config.precond}, ${(denoiser.parameterCount / 1e6).toFixed(2)} million parameters, images of ${formatImageShape(config.shape)}${classes}`,
    skipped.length > 0 && `skipped     ${abbreviated(skipped)}`,
    `wrote       ${dest}`,
    "licence     that of the file: EDM's and STF's published weights are for non-commercial use (CC BY-NC-SA 4.0)",
    `draw with   npx stf generate --network=${dest} --grid=grid.png`,
  ];
  for (const line of lines) if (line !== false) console.log(line);
  denoiser.dispose();
  return 0;
}

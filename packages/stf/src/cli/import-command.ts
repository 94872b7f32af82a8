/** `stf import` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated } from "../common/text.js";
import { parse } from "../config/fields.js";
import { importFields } from "../config/import-options.js";
import { type ImportRequest, importOptions } from "../config/import-request.js";
import type { ImportResult } from "../jobs/import.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

/** The result, line by line. */
function described(
  file: string,
  { dest, config, parameterCount, format, part, isAveraged, skipped }: ImportResult,
): string[] {
  const classes = config.labelDim ? `, ${config.labelDim} classes` : "";
  return [
    `read        ${file}: ${format}${part === undefined ? "" : `, its "${part}"`}`,
    `network     ${config.arch}, preconditioning ${config.precond}, ${(parameterCount / 1e6).toFixed(2)} million parameters, images of ${formatImageShape(config.shape)}${classes}`,
    `weights     ${isAveraged ? "averaged" : "not marked as averaged in the file; averaged weights draw better images"}`,
    ...(skipped.length > 0 ? [`skipped     ${abbreviated(skipped)}`] : []),
    `wrote       ${dest}`,
    "licence     that of the file: EDM's and STF's published weights are for non-commercial use (CC BY-NC-SA 4.0)",
    `draw with   npx stf generate --network=${dest} --grid=grid.png`,
  ];
}

/** Sets the command's argument, options and action. */
export function declare(command: Command): void {
  command.argument("<FILE>", "a .pkl snapshot of EDM or STF, a PyTorch file (.pt, .pth, .ckpt), or safetensors");
  addFields(command, importFields).action(async (file: string, texts) => {
    const request: ImportRequest = { ...parse(importFields, texts), file };
    checkAlone("import");
    importOptions(request);
    beginWork();
    const { importCheckpoint } = await import("../jobs/import.js");
    for (const line of described(file, importCheckpoint(request))) console.log(line);
  });
}

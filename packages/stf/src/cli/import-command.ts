/** The options of `stf import` on the command line, and what can be said of them without libtorch. */

import { existsSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import type { Command } from "commander";
import { parse, resolve } from "../config/fields.js";
import { type ImportOptions, importFields } from "../config/import-options.js";
import { UsageError } from "../run/errors.js";
import { addFields } from "./options.js";

/** Options that name a place to write to. */
export type ImportRequest = ImportOptions & { readonly dest: string };

/** @throws UsageError when there is no place to write to */
function checked(options: ImportOptions, file: string): ImportRequest {
  const { dest } = options;
  if (dest === null)
    throw new UsageError("--dest must name the network snapshot to write, such as network.safetensors");
  if (resolvePath(dest) === resolvePath(file))
    throw new UsageError("--dest must be another file than the one to import");
  if (existsSync(dest) && !statSync(dest).isFile())
    throw new UsageError(`--dest must name a file; ${dest} is a folder`);
  return { ...options, dest };
}

/** Gives the command its argument, its options and its action. */
export function declare(command: Command): void {
  command.argument("<FILE>", "a .pkl snapshot of EDM or STF, a .pt or .pth of PyTorch, or safetensors");
  addFields(command, importFields).action(async (file, texts) => {
    const request = checked(resolve(importFields, parse(importFields, texts)), file);
    const { importCheckpoint } = await import("./import.js");
    process.exitCode = importCheckpoint(file, request);
  });
}

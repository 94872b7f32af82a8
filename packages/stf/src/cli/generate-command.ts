/** The options of `stf generate` on the command line, and what can be said of them without libtorch. */

import { existsSync, statSync } from "node:fs";
import type { Command } from "commander";
import { parse, resolve } from "../config/fields.js";
import { type GenerateCommandOptions, generateFields } from "../config/generate-options.js";
import { UsageError } from "../run/errors.js";
import { addFields } from "./options.js";

/** Options that name a network. */
export type GenerateRequest = GenerateCommandOptions & { readonly network: string };

/** @throws UsageError when something is missing, or does not fit together */
function checked(options: GenerateCommandOptions): GenerateRequest {
  const { network, outdir, grid, sigma_min: sigmaMin, sigma_max: sigmaMax } = options;
  if (network === null) throw new UsageError("--network must name a network snapshot (network-snapshot-*.safetensors)");
  if (outdir === null && grid === null) throw new UsageError("--outdir or --grid must say where the pictures go");
  if (sigmaMin >= sigmaMax) {
    throw new UsageError(`--sigma_min must be below --sigma_max, found ${sigmaMin} and ${sigmaMax}`);
  }
  if (grid !== null && existsSync(grid) && !statSync(grid).isFile()) {
    throw new UsageError(`--grid must name a file, such as grid.png; ${grid} is a folder`);
  }
  return { ...options, network };
}

/** Gives the command its options and its action. */
export function declare(command: Command): void {
  addFields(command, generateFields).action(async (texts) => {
    const request = checked(resolve(generateFields, parse(generateFields, texts)));
    const { generate } = await import("./generate.js");
    process.exitCode = generate(request);
  });
}

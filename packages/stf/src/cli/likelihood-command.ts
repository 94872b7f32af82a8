/** The options of `stf likelihood` on the command line, and what can be said of them without libtorch. */

import type { Command } from "commander";
import { parse, resolve } from "../config/fields.js";
import { type LikelihoodCommandOptions, likelihoodFields } from "../config/likelihood-options.js";
import { processes } from "../processes/by-name.js";
import { UsageError } from "../run/errors.js";
import { addFields } from "./options.js";

/** Options that name a network and images. */
export type LikelihoodRequest = LikelihoodCommandOptions & { readonly network: string; readonly data: string };

/** @throws UsageError when something is missing, or does not fit together */
function checked(given: Partial<LikelihoodCommandOptions>): LikelihoodRequest {
  const options = resolve(likelihoodFields, given);
  const { network, data, process: name, sigma_min: sigmaMin, sigma_max: sigmaMax } = options;
  if (network === null) throw new UsageError("--network must name a network snapshot (network-snapshot-*.safetensors)");
  if (data === null) throw new UsageError("--data must name images, such as a folder of PNG files");
  if (sigmaMin >= sigmaMax) {
    throw new UsageError(`--sigma_min must be below --sigma_max, found ${sigmaMin} and ${sigmaMax}`);
  }
  if (!processes[name].takesRange && (given.sigma_min !== undefined || given.sigma_max !== undefined)) {
    throw new UsageError(
      `--process=${name} has noise levels of its own; leave out --sigma_min and --sigma_max, or take another process`,
    );
  }
  return { ...options, network, data };
}

/** Gives the command its options and its action. */
export function declare(command: Command): void {
  addFields(command, likelihoodFields).action(async (texts) => {
    const request = checked(parse(likelihoodFields, texts));
    const { likelihood } = await import("./likelihood.js");
    process.exitCode = await likelihood(request);
  });
}

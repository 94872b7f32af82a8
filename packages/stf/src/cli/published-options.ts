/** Options of the published `train.py` that have another name here or no effect, so that published command lines work. */

import { basename, dirname, resolve } from "node:path";
import { type Command, Option } from "commander";
import { UsageError } from "../common/errors.js";
import { flag, integer, parse } from "../config/fields.js";
import type { TrainOptions } from "../config/train-options.js";
import { KeyedOption } from "./options.js";

const fields = {
  fp16: flag({ default: false, help: "half precision" }),
  nosubdir: flag({ default: false, help: "write into --outdir itself" }),
  bench: flag({ default: true, help: "cuDNN autotuning" }),
  workers: integer({ default: 1, min: 1, help: "loader processes" }),
} as const;

/** Other spellings of an option, by its key: those of EDM's classes, and what one types. */
const spellings: Readonly<Partial<Record<keyof TrainOptions, readonly string[]>>> = {
  pMean: ["--P_mean", "--p-mean", "--p_mean"],
  pStd: ["--P_std", "--p-std", "--p_std"],
  sigmaData: ["--sigma_data"],
  sigmaMin: ["--sigma_min"],
  sigmaMax: ["--sigma_max"],
};

/** Ends the help. */
export const publishedHelp =
  "EDM's options --fp16 (as --precision=bf16) and --nosubdir are accepted, --bench and --workers without effect;\n--P-mean, --sigma-data and the like may be written --P_mean, --sigma_data.";

/** Declares them, without a line of help each. */
export function addPublishedOptions(command: Command): Command {
  for (const name of ["--fp16 [BOOL]", "--nosubdir", "--bench [BOOL]", "--workers <N>"]) {
    command.addOption(new Option(name).hideHelp());
  }
  for (const [key, names] of Object.entries(spellings)) {
    for (const name of names) command.addOption(new KeyedOption(key, `${name} <X>`).hideHelp());
  }
  return command;
}

type Texts = Readonly<Record<string, string | true | undefined>>;

/** Options as text, with notes on how they were understood. */
export interface Understood {
  readonly texts: Texts;
  readonly notes: readonly string[];
}

/**
 * Replaces published options by those that mean the same.
 *
 * @throws UsageError for an invalid value, or together with an option that it contradicts
 */
export function withPublishedOptions({ fp16, nosubdir, bench, workers, ...texts }: Texts): Understood {
  const given = parse(fields, { fp16, nosubdir, bench, workers });
  const notes: string[] = [];
  const replaced: Record<string, string> = {};
  if (given.fp16) {
    if (texts["precision"] !== undefined && texts["precision"] !== "bf16") {
      throw new UsageError(`--fp16 and --precision=${texts["precision"]} exclude each other; leave one out`);
    }
    replaced["precision"] = "bf16";
    notes.push("--fp16 is taken as --precision=bf16: 16 bits, without float16's limit of 65504");
  }
  if (given.nosubdir) {
    if (texts["name"] !== undefined) throw new UsageError("--nosubdir and --name exclude each other; leave one out");
    const folder = resolve(String(texts["outdir"] ?? "runs"));
    Object.assign(replaced, { outdir: dirname(folder), name: basename(folder) });
  }
  const idle = [given.bench !== undefined && "--bench", given.workers !== undefined && "--workers"].filter(Boolean);
  if (idle.length > 0) notes.push(`no effect here: ${idle.join(", ")}`);
  return { texts: { ...texts, ...replaced }, notes };
}

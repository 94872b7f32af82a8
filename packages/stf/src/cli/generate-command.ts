/** The options of `stf generate` on the command line, and what can be said of them without libtorch. */

import { existsSync, statSync } from "node:fs";
import type { Command } from "commander";
import { parse, resolve } from "../config/fields.js";
import {
  checkTogether,
  type GenerateCommandOptions,
  generateFields,
  stepCountOf,
  withoutEffectIn,
} from "../config/generate-options.js";
import { UsageError } from "../run/errors.js";
import { type Rank, rankOf } from "../run/ranks.js";
import { addFields } from "./options.js";

/** Options that name a network. */
export type GenerateRequest = GenerateCommandOptions & {
  readonly network: string;
  /** What there is to say about them. */
  readonly notes: readonly string[];
  /** Which share of the seeds this process draws. */
  readonly rank: Rank;
};

/** @throws UsageError when something is missing, or does not fit together */
function checked(given: Partial<GenerateCommandOptions>): GenerateRequest {
  const options = resolve(generateFields, given);
  const { network, outdir, grid, trajectory, seeds, batch } = options;
  if (network === null) throw new UsageError("--network must name a network snapshot (network-snapshot-*.safetensors)");
  if (outdir === null && grid === null && trajectory === null) {
    throw new UsageError("--outdir, --grid or --trajectory must say where the pictures go");
  }
  if (new Set(seeds).size < seeds.length) {
    const twice = seeds.find((seed, i) => seeds.indexOf(seed) < i);
    throw new UsageError(`--seeds must name every seed once, found ${twice} twice`);
  }
  checkTogether(given, options);
  checkFile("--grid", grid, /\.png$/i, "*.png");
  checkFile("--trajectory", trajectory, /\.(gif|webp)$/i, "*.gif or *.webp");
  if (trajectory !== null && seeds.length > batch) {
    throw new UsageError(
      `--trajectory shows images that are drawn at once: at most ${batch} --seeds (--batch), found ${seeds.length}`,
    );
  }
  if (options.subdirs && outdir === null) throw new UsageError("--subdirs needs an --outdir");
  const rank = rankOf();
  if (rank.size > 1 && (outdir === null || trajectory !== null)) {
    throw new UsageError(
      "several processes need an --outdir, where they find each other's images, and no --trajectory",
    );
  }
  return { ...options, steps: stepCountOf(options), network, notes: withoutEffectIn(given, options), rank };
}

function checkFile(flag: string, path: string | null, pattern: RegExp, kind: string): void {
  if (path === null) return;
  if (existsSync(path) && !statSync(path).isFile()) {
    throw new UsageError(`${flag} must name a file, ${kind}; ${path} is a folder`);
  }
  if (!pattern.test(path)) throw new UsageError(`${flag} must name a file ${kind}, found ${path}`);
}

/** Gives the command its options and its action. */
export function declare(command: Command): void {
  addFields(command, generateFields).action(async (texts) => {
    const request = checked(parse(generateFields, texts));
    const { generate } = await import("./generate.js");
    process.exitCode = await generate(request);
  });
}

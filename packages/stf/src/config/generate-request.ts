/** A request to draw images: the options of `stf generate`, checked together. */

import { existsSync, statSync } from "node:fs";
import { UsageError } from "../common/errors.js";
import { checkValues, resolve } from "./fields.js";
import {
  checkTogether,
  type GenerateCommandOptions,
  generateFields,
  stepCountOf,
  withoutEffectIn,
} from "./generate-options.js";

/** What to draw: the options of `stf generate`, by their names in programs. Anything left out takes its default. */
export type GenerateRequest = Partial<GenerateCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedGenerate extends GenerateCommandOptions {
  readonly network: string;
  readonly steps: number;
  /** Notes on options that have no effect. */
  readonly notes: readonly string[];
}

function checkFile(name: string, path: string | null, pattern: RegExp, kind: string): void {
  if (path === null) return;
  if (existsSync(path) && !statSync(path).isFile()) {
    const found = statSync(path).isDirectory() ? "a folder" : "a device";
    throw new UsageError(`'${name}' must name a file, ${kind}; ${path} is ${found}`);
  }
  if (!pattern.test(path)) throw new UsageError(`'${name}' must name a file ${kind}, found ${path}`);
}

/**
 * The options of a request that say what to draw, checked; those that name files are not. Needs only the request, so that a
 * mistake is reported at once.
 *
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function drawingOptions(request: GenerateRequest): ResolvedGenerate {
  const given = checkValues(generateFields, request, "the request");
  const options = resolve(generateFields, given);
  const { network, seeds } = options;
  if (network === null) throw new UsageError("'network' must name a network snapshot (network-snapshot-*.safetensors)");
  if (new Set(seeds).size < seeds.length) {
    const twice = seeds.find((seed, i) => seeds.indexOf(seed) < i);
    throw new UsageError(`'seeds' must name every seed once, found ${twice} twice`);
  }
  checkTogether(given, options);
  return { ...options, steps: stepCountOf(options), network, notes: withoutEffectIn(given, options) };
}

/**
 * All options of a request, checked as by {@link drawingOptions}, with those that name files.
 *
 * @param processes - number of processes that divide the work and share it through files; 1 for connected ones
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function generateOptions(request: GenerateRequest, processes = 1): ResolvedGenerate {
  const options = drawingOptions(request);
  const { outdir, grid, trajectory, seeds, batch } = options;
  if (outdir === null && grid === null && trajectory === null) {
    throw new UsageError("'outdir', 'grid' or 'trajectory' must be given, found none of them");
  }
  checkFile("grid", grid, /\.png$/i, "*.png");
  checkFile("trajectory", trajectory, /\.(gif|webp)$/i, "*.gif or *.webp");
  if (trajectory !== null && seeds.length > batch) {
    throw new UsageError(
      `'trajectory' shows a single batch: at most ${batch} 'seeds' ('batch'), found ${seeds.length}`,
    );
  }
  if (options.subdirs && outdir === null) throw new UsageError("'subdirs' needs an 'outdir'");
  if (processes > 1 && (outdir === null || trajectory !== null)) {
    throw new UsageError("several processes need an 'outdir', through which they share images, and no 'trajectory'");
  }
  return options;
}

/** The options of a run with nothing left open: of a new one, and of one that goes on. */

import { randomInt } from "node:crypto";
import { UsageError } from "../common/errors.js";
import { checkContradictions } from "./contradictions.js";
import { resolve } from "./fields.js";
import { type PresetName, presets, type TrainOptions, trainFields } from "./train-options.js";

/** Options with nothing left open. */
export interface ResolvedOptions extends TrainOptions {
  /** Of everything random. */
  readonly seed: number;
  /** Where the training images are. */
  readonly data: string;
}

/**
 * Options that a resumed run may change, because its weights and moments stay what they are: where data and processor are, when
 * it ends, what it writes, how it learns and from which targets. Those that would make another network, other images or another
 * order of them may not.
 */
const changeable: ReadonlySet<string> = new Set<keyof TrainOptions>([
  ...(["data", "device", "precision", "duration", "timeLimit", "tick", "snap", "dump", "saveEvery"] as const),
  ...(["lr", "lrRampup", "ema", "ls", "batch", "batchGpu", "recompute", "labelDropout"] as const),
  ...(["stf", "rbatch", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"] as const),
]);

/**
 * @param chosen - what `automaticOptions` chose, where the preset is "auto"
 * @throws UsageError without data, and for options that contradict each other
 */
export function newRunOptions(
  given: Partial<TrainOptions>,
  preset: PresetName = "auto",
  chosen: Partial<TrainOptions> = {},
): ResolvedOptions {
  const options = complete(resolve(trainFields, presets[preset].options, chosen, given));
  checkContradictions(given, options);
  return options;
}

/** @throws UsageError when an option was given that a resumed run may not change, or that it does not use */
export function resumedOptions(
  given: Partial<TrainOptions>,
  saved: Readonly<Record<string, unknown>>,
): ResolvedOptions {
  const fixed = Object.keys(given).find((key) => !changeable.has(key));
  if (fixed) {
    throw new UsageError(
      `'${fixed}' belongs to the run and cannot be changed by 'resume'; what can: ${[...changeable].map((key) => `'${key}'`).join(", ")}`,
    );
  }
  const options = complete(resolve(trainFields, saved as Partial<TrainOptions>, given));
  checkContradictions(given, options);
  return options;
}

/** What a resumed run does otherwise than before, an option a line: "lr 0.001 -> 0.0005". */
export function changedOptions(before: Readonly<Record<string, unknown>>, now: ResolvedOptions): string[] {
  return Object.entries(now)
    .filter(([name, value]) => JSON.stringify(before[name]) !== JSON.stringify(value))
    .map(([name, value]) => `'${name}' ${formatValue(before[name])} -> ${formatValue(value)}`);
}

const formatValue = (value: unknown): string =>
  value === null || value === undefined ? "none" : Array.isArray(value) ? value.join(",") : String(value);

function complete(options: TrainOptions): ResolvedOptions {
  if (options.data === null) {
    throw new UsageError(
      "'data' must name the training images: a folder, a zip, CIFAR-10 or an idx file; 'preset=fashion-mnist' has some",
    );
  }
  return { ...options, data: options.data, seed: options.seed ?? randomInt(2 ** 31) };
}

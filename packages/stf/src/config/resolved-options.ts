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

/** Options that a resumed run may change: where data and processor are, when it ends, and what it writes. */
const changeable = new Set(["data", "device", "duration", "timeLimit", "tick", "snap", "dump"]);

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

/** @throws UsageError when an option was given that a resumed run may not change */
export function resumedOptions(
  given: Partial<TrainOptions>,
  saved: Readonly<Record<string, unknown>>,
): ResolvedOptions {
  const fixed = Object.keys(given).find((key) => !changeable.has(key));
  if (fixed) {
    throw new UsageError(
      `'${fixed}' cannot be changed by 'resume'; what can: ${[...changeable].map((key) => `'${key}'`).join(", ")}`,
    );
  }
  return complete(resolve(trainFields, saved as Partial<TrainOptions>, given));
}

function complete(options: TrainOptions): ResolvedOptions {
  if (options.data === null) {
    throw new UsageError(
      "'data' must name the training images: a folder, a zip, CIFAR-10 or an idx file; 'preset=fashion-mnist' has some",
    );
  }
  return { ...options, data: options.data, seed: options.seed ?? randomInt(2 ** 31) };
}

/** The options that are constants of the preconditioning. */

import { UsageError } from "../common/errors.js";
import type { Constants } from "../preconditioning/constants.js";
import { preconditioningOf } from "../preconditioning/table.js";
import { hasLevelsBelow } from "../processes/noise-levels.js";
import { edmSchedule } from "../sampling/steps.js";
import { FIT_LEVEL } from "./analytic-options.js";
import type { TrainOptions } from "./train-options.js";

/** The constants have the same names. */
const names = ["pMean", "pStd", "sigmaData", "sigmaMin", "sigmaMax"] as const satisfies readonly (keyof TrainOptions)[];

/** These options; null is the value of the preconditioning, or of the network that a run starts from. */
export type NoiseOptions = Pick<TrainOptions, (typeof names)[number]>;

/** The constants that options state. */
export function statedConstants(options: NoiseOptions): Constants {
  return Object.fromEntries(names.flatMap((name) => (options[name] === null ? [] : [[name, options[name]]])));
}

/** The constants of a network that differ from the published ones, as options. */
export function noiseOptionsOf({ precond, constants }: { precond: TrainOptions["precond"]; constants?: Constants }) {
  const [own, published] = [preconditioningOf(precond, constants).constants, preconditioningOf(precond).constants];
  const isChanged = (name: string): boolean => Number.isFinite(own[name]) && own[name] !== published[name];
  return Object.fromEntries(names.filter(isChanged).map((name) => [name, own[name]])) as Partial<NoiseOptions>;
}

/** The preconditioning's complaint in the names of options. */
const quoted = (message: string): string => message.replace(new RegExp(`\\b(${names.join("|")})\\b`, "g"), "'$1'");

/** So that the steps of a sampler remain distinct. */
const LEAST_RATIO = 1.001;

/** @throws UsageError for a limit that the analytic denoiser cannot start at, or that leaves hardly any noise levels to train on */
function checkTrainBelow({ trainBelow, precond }: TrainOptions, constants: Constants): void {
  if (typeof trainBelow !== "number") return;
  if (trainBelow < FIT_LEVEL) {
    throw new UsageError(
      `'trainBelow' must be at least ${FIT_LEVEL}, from which on an analytic denoiser may replace the network, found ${trainBelow}`,
    );
  }
  if (hasLevelsBelow(preconditioningOf(precond, constants).noiseLevels, trainBelow)) return;
  throw new UsageError(
    `'trainBelow' must leave one in a hundred of the noise levels of 'precond=${precond}' at least, found ${trainBelow}`,
  );
}

/**
 * @param source - constants of the network that the run starts from
 * @throws UsageError when a network cannot be trained on these noise levels, or images cannot be drawn with it
 */
export function checkNoiseOptions(options: TrainOptions, source?: Constants): void {
  const stated = statedConstants(options);
  if (Object.keys(stated).length === 0) {
    checkTrainBelow(options, { ...source });
    return;
  }
  let range: { readonly sigmaMin: number; readonly sigmaMax: number };
  try {
    range = preconditioningOf(options.precond, { ...source, ...stated });
  } catch (error) {
    throw error instanceof UsageError ? new UsageError(quoted(error.message)) : error;
  }
  checkTrainBelow(options, { ...source, ...stated });
  const low = Math.max(range.sigmaMin, edmSchedule.sigmaMin);
  const high = Math.min(range.sigmaMax, edmSchedule.sigmaMax);
  if (low * LEAST_RATIO < high) return;
  throw new UsageError(
    `'sigmaMin' and 'sigmaMax' must leave noise levels from ${edmSchedule.sigmaMax} to ${edmSchedule.sigmaMin}, with which images are drawn; found ${range.sigmaMin} and ${range.sigmaMax}`,
  );
}

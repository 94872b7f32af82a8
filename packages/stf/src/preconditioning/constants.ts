/** The constants of preconditionings: their validation and their form in checkpoints. */

import { UsageError } from "../common/errors.js";
import { formatLevel } from "../common/text.js";
import type { NoiseRange } from "../processes/scheduled.js";

/** Numbers by name. When a preconditioning is made from constants, those left out have their published values. */
export type Constants = Readonly<Record<string, number>>;

/** @throws UsageError unless the condition holds; `wanted` says what must hold */
export function requireConstant(holds: boolean, wanted: string, found: unknown): void {
  if (!holds) throw new UsageError(`${wanted}, found ${found}`);
}

/** @throws UsageError unless all are finite and above 0 */
export function requirePositive(constants: Constants): void {
  for (const [name, value] of Object.entries(constants)) {
    requireConstant(value > 0 && Number.isFinite(value), `${name} must be a finite number above 0`, value);
  }
}

/**
 * Squares of noisy images, and of errors relative to the noise, must be float32 numbers.
 *
 * @param remedy - what to change
 * @throws UsageError unless they are at all noise levels of the range
 */
export function requireTrainable({ sigmaMin, sigmaMax }: NoiseRange, remedy: string): void {
  if (sigmaMin >= 1e-15 && sigmaMax <= 1e15) return;
  throw new UsageError(
    `the noise levels in training must lie between 1e-15 and 1e15, found ${formatLevel(sigmaMin)} to ${formatLevel(sigmaMax)}; ${remedy}`,
  );
}

/** A limit, because the number may come from a file and sets the size of noise-level tables. */
const MOST_TIME_STEPS = 1_000_000;

/** @throws UsageError unless it is a valid number of steps */
export function requireTimeSteps(timeSteps: number): void {
  requireConstant(
    Number.isInteger(timeSteps) && timeSteps >= 2 && timeSteps <= MOST_TIME_STEPS,
    `timeSteps must be a whole number from 2 to ${MOST_TIME_STEPS}`,
    timeSteps,
  );
}

/** EDM's distribution of ln sigma in training: mean and standard deviation (Karras et al. 2022, table 1). */
export const publishedLevels = { pMean: -1.2, pStd: 1.2 } as const satisfies Constants;

/**
 * Constants as stored in a checkpoint. JSON has no infinity, which is the default wherever it is allowed. Earlier versions do not
 * know the constants of {@link publishedLevels}, and can read files without them.
 */
export function storedConstants(constants: Constants): Constants {
  const implied: Constants = publishedLevels;
  const stored = Object.entries(constants).filter(([name, value]) => Number.isFinite(value) && value !== implied[name]);
  return Object.fromEntries(stored);
}

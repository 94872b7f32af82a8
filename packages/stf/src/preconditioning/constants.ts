/** The constants of preconditionings: their validation and their form in checkpoints. */

import { UsageError } from "../common/errors.js";

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

/** Constants as stored in a checkpoint. JSON has no infinity, which is the default wherever it is allowed. */
export function storedConstants(constants: Constants): Constants {
  return Object.fromEntries(Object.entries(constants).filter(([, value]) => Number.isFinite(value)));
}

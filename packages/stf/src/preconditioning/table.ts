/** The table of preconditionings by name. */

import { UsageError } from "../common/errors.js";
import type { Constants } from "./constants.js";
import { edmPreconditioning } from "./edm.js";
import { flowPreconditioning } from "./flow.js";
import { iddpmPreconditioning } from "./iddpm.js";
import type { Preconditioning } from "./preconditioning.js";
import { vePreconditioning } from "./ve.js";
import { subVpPreconditioning, vpPreconditioning } from "./vp.js";

/**
 * Makes a preconditioning from its name and constants. Constants left out have their published values; this must not change,
 * because older checkpoints store none.
 */
export const preconditionings = {
  /** EDM's. */
  edm: edmPreconditioning,
  /** The variance-preserving one. */
  vp: vpPreconditioning,
  /** The variance-exploding one. */
  ve: vePreconditioning,
  /** The sub-variance-preserving one. */
  subvp: subVpPreconditioning,
  /** Flow matching. */
  flow: flowPreconditioning,
  /** Improved DDPM. */
  iddpm: iddpmPreconditioning,
} as const satisfies Readonly<Record<string, (constants?: Constants) => Preconditioning>>;

/** The name of a preconditioning. */
export type PreconditioningName = keyof typeof preconditionings;

/** The names of the preconditionings. */
export const preconditioningNames = Object.keys(preconditionings) as PreconditioningName[];

/** A preconditioning from the table. */
export interface NamedPreconditioning extends Preconditioning {
  /** Its name in the table. */
  readonly name: PreconditioningName;
}

/** Whether a preconditioning of this name exists. */
export function isPreconditioningName(name: unknown): name is PreconditioningName {
  return preconditioningNames.some((known) => known === name);
}

/**
 * The preconditioning for a name and constants that may come from a file.
 *
 * @throws UsageError for an unknown name or constant, and for a constant that is not a number or out of range
 */
export function preconditioningOf(name: string, constants: Constants = {}): NamedPreconditioning {
  if (!isPreconditioningName(name)) {
    throw new UsageError(`the preconditioning must be one of ${preconditioningNames.join(", ")}, found "${name}"`);
  }
  const make: (constants?: Constants) => Preconditioning = preconditionings[name];
  const known = Object.keys(make().constants);
  if (typeof constants !== "object" || constants === null) {
    throw new UsageError(
      `the constants of the preconditioning ${name} must be an object of numbers, found ${constants}`,
    );
  }
  for (const [key, value] of Object.entries(constants)) {
    if (!known.includes(key)) {
      throw new UsageError(`the constants of the preconditioning ${name} are ${known.join(", ")}; found "${key}"`);
    }
    if (typeof value !== "number") {
      throw new UsageError(
        `${key}, a constant of the preconditioning ${name}, must be a number, found ${JSON.stringify(value)}`,
      );
    }
  }
  return { ...make(constants), name };
}

/** Constants that say which noise levels a network is trained on and covers, not what it computes at any of them. */
export const levelConstants: readonly string[] = ["pMean", "pStd", "sigmaMin", "sigmaMax"];

/**
 * The difference in name and constants, in words; undefined if there is none.
 *
 * @param ignored - constants that may differ
 */
export function differenceOf(
  found: Pick<Preconditioning, "name" | "constants">,
  wanted: Pick<Preconditioning, "name" | "constants">,
  ignored: readonly string[] = [],
): { readonly found: string; readonly wanted: string } | undefined {
  if (found.name !== wanted.name) return { found: found.name, wanted: wanted.name };
  const keys = Object.keys({ ...wanted.constants, ...found.constants });
  const key = keys.find((name) => !ignored.includes(name) && !Object.is(found.constants[name], wanted.constants[name]));
  if (key === undefined) return undefined;
  const inWords = ({ name, constants }: typeof found): string => `${name} with ${key} = ${constants[key]}`;
  return { found: inWords(found), wanted: inWords(wanted) };
}

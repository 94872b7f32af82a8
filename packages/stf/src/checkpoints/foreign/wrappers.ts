/** The classes that wrap the published networks: each is a preconditioning with its own arguments. */

import { InputError, UsageError } from "../../common/errors.js";
import type { Constants } from "../../preconditioning/constants.js";
import { type NamedPreconditioning, type PreconditioningName, preconditioningOf } from "../../preconditioning/table.js";

/** Numeric arguments, under their published names. */
type Given = Readonly<Record<string, number | undefined>>;

interface Wrapper {
  readonly precond: PreconditioningName;
  /** The names of its own arguments. */
  readonly own: readonly string[];
  /** The constants given by the arguments; undefined ones have their published values. */
  constantsOf(given: Given): Given;
}

const wrappers: Readonly<Record<string, Wrapper>> = {
  EDMPrecond: {
    precond: "edm",
    own: ["sigma_data", "sigma_min", "sigma_max"],
    constantsOf: ({ sigma_data, sigma_min, sigma_max }) => ({
      sigmaData: sigma_data,
      sigmaMin: sigma_min,
      sigmaMax: sigma_max,
    }),
  },
  VPPrecond: {
    precond: "vp",
    own: ["beta_d", "beta_min", "M", "epsilon_t"],
    // beta_d is the slope of beta(t).
    constantsOf: ({ beta_d = 19.9, beta_min = 0.1, M, epsilon_t }) => ({
      betaMin: beta_min,
      betaMax: beta_min + beta_d,
      timeSteps: M,
      epsilon: epsilon_t,
    }),
  },
  VEPrecond: {
    precond: "ve",
    own: ["sigma_min", "sigma_max"],
    constantsOf: ({ sigma_min, sigma_max }) => ({ sigmaMin: sigma_min, sigmaMax: sigma_max }),
  },
  iDDPMPrecond: {
    precond: "iddpm",
    own: ["C_1", "C_2", "M"],
    constantsOf: ({ C_1, C_2, M }) => ({ timeSteps: M, c1: C_1, c2: C_2 }),
  },
};

function numberAmong(given: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = given[name];
  if (value === undefined || typeof value === "number") return value;
  const shown = typeof value === "object" && value !== null ? "another object" : String(value).slice(0, 60);
  throw new InputError(`its ${name} must be a number, found ${shown}`);
}

/**
 * The preconditioning of a published wrapper (Karras et al. 2022, table 1): `EDMPrecond`, `VPPrecond`, `VEPrecond`, `iDDPMPrecond`.
 *
 * @param given - arguments of its constructor under their published names; those left out have their published values,
 * and those of other classes are ignored
 * @returns undefined for another class
 * @throws InputError for arguments that are not numbers, or out of range
 */
export function publishedPreconditioning(
  className: string,
  given: Readonly<Record<string, unknown>>,
): NamedPreconditioning | undefined {
  const wrapper = Object.hasOwn(wrappers, className) ? wrappers[className] : undefined;
  if (!wrapper) return undefined;
  const { precond, own, constantsOf } = wrapper;
  const constants = Object.entries(
    constantsOf(Object.fromEntries(own.map((name) => [name, numberAmong(given, name)]))),
  );
  try {
    return preconditioningOf(
      precond,
      Object.fromEntries(constants.filter(([, value]) => value !== undefined)) as Constants,
    );
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause;
    throw new InputError(`its ${className} has invalid constants: ${cause.message}`, { cause });
  }
}

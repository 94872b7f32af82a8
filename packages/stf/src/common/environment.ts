/** Variables of the environment as numbers and names, with messages that name the variable. */

import { isIPv6 } from "node:net";
import { UsageError } from "./errors.js";

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The highest number of a port. */
export const HIGHEST_PORT = 65535;

/** The text of a variable; one that is empty counts as missing. */
export const textOf = (environment: Environment, name: string): string | undefined => environment[name] || undefined;

/** @throws UsageError when a variable is not a whole number from least to most. */
export function numberOf(
  environment: Environment,
  name: string,
  { least = 0, most = Number.MAX_SAFE_INTEGER }: { least?: number; most?: number } = {},
): number | undefined {
  const text = textOf(environment, name);
  if (text === undefined) return undefined;
  const isWithin = /^\d+$/.test(text) && Number(text) >= least && Number(text) <= most;
  if (isWithin) return Number(text);
  const range = most < Number.MAX_SAFE_INTEGER ? `from ${least} to ${most}` : `of at least ${least}`;
  throw new UsageError(`the variable ${name} must be a whole number ${range}, found "${text}"`);
}

/** @throws UsageError when a variable is missing that is always set beside another. */
export function required(
  environment: Environment,
  name: string,
  beside: string,
  limits?: { least: number; most: number },
): number {
  const found = numberOf(environment, name, limits);
  if (found !== undefined) return found;
  throw new UsageError(`the variable ${name} must be set if ${beside} is, found none`);
}

/** @throws UsageError naming both variables. */
export function checkBelow([name, value]: readonly [string, number], [limit, most]: readonly [string, number]): void {
  if (value < most) return;
  throw new UsageError(`the variable ${name} must be below ${limit}, found ${value} and ${most}`);
}

/** @throws UsageError naming both variables. */
export function checkAtMost([name, value]: readonly [string, number], [limit, most]: readonly [string, number]): void {
  if (value <= most) return;
  throw new UsageError(`the variable ${name} must be at most ${limit}, found ${value} and ${most}`);
}

/**
 * A name or address of a machine from an option or a variable, without the brackets of IPv6.
 *
 * @param what - the option or variable, for the message
 * @throws UsageError when it is neither
 */
export function hostOf(text: string, what: string): string {
  const host = /^\[(.*)\]$/.exec(text)?.[1] ?? text;
  if (isIPv6(host) || (text === host && /^[\w.-]+$/.test(host))) return host;
  throw new UsageError(
    `${what} must be the name or address of a machine, without a port or a scheme, such as node01 or 10.0.0.1, found "${text}"`,
  );
}

/** That processes which share a job do the same one. */

import { UsageError } from "../common/errors.js";
import type { Team } from "./team.js";

/**
 * @param except - options that may differ: paths differ between machines, and only the first process writes
 * @throws UsageError when the processes were given different options; in all of them, with the first difference
 */
export function checkSameRequest(request: object, team: Team, except: readonly string[]): void {
  const given = team.gather(
    Object.entries(request).filter(([name, value]) => value !== undefined && !except.includes(name)),
  );
  const [first = []] = given;
  const wanted = new Map<string, unknown>(first);
  const text = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
  for (const [rank, entries] of given.entries()) {
    const found = new Map<string, unknown>(entries);
    for (const name of new Set([...wanted.keys(), ...found.keys()])) {
      const [own, other] = [wanted.get(name), found.get(name)];
      if (text(own) === text(other)) continue;
      throw new UsageError(
        `all processes must have the same options; '${name}' is ${text(own)} for rank 0 and ${text(other)} for rank ${rank}`,
      );
    }
  }
}

/**
 * @param what - what the key identifies, in the plural: "images"
 * @throws UsageError when the processes have different keys; in all of them
 */
export function checkSame(what: string, key: string, team: Team): void {
  const keys = team.gather(key);
  const other = keys.findIndex((found) => found !== keys[0]);
  if (other <= 0) return;
  throw new UsageError(`all processes must have the same ${what}; those of rank ${other} differ from those of rank 0`);
}

/** That processes which share a job do the same one. */

import { UsageError } from "../common/errors.js";
import type { Team } from "./team.js";

/**
 * @param except - options that may differ, such as paths, which differ between machines, or that only the first process uses
 * @param ofMachine - paths that one process of each machine reads for all that are there
 * @throws UsageError when the processes were given different options; in all of them, with the first difference
 */
export function checkSameRequest(
  request: object,
  team: Team,
  except: readonly string[],
  ofMachine: readonly string[] = [],
): void {
  const given = team.gather({
    machine: team.local.ranks[0] as number,
    options: Object.entries(request).filter(([name, value]) => value !== undefined && !except.includes(name)),
  });
  const options = given.map((each) => new Map<string, unknown>(each.options));
  const names = new Set(options.flatMap((each) => [...each.keys()]));
  const text = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
  for (const [rank, { machine }] of given.entries()) {
    for (const name of names) {
      const first = ofMachine.includes(name) ? machine : 0;
      const [wanted, found] = [options[first]?.get(name), options[rank]?.get(name)];
      if (text(wanted) === text(found)) continue;
      throw new UsageError(
        `all processes must have the same options; '${name}' is ${text(wanted)} for rank ${first} and ${text(found)} for rank ${rank}`,
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

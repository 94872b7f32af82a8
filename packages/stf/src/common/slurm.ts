/** Lists as SLURM abbreviates them. */

import { UsageError } from "./errors.js";

/**
 * The first machine of a list as SLURM abbreviates it: `gpu[007-010,012],login` is gpu007, and so on.
 *
 * @param what - the list's origin, for the message
 * @throws UsageError when it is not such a list
 */
export function firstHost(list: string, what: string): string {
  const first = /^(?:[^,[\]]|\[[^[\]]*\])+/.exec(list)?.[0] ?? "";
  const host = first.replace(/\[(\d+)(?:-\d+)?(?:,\d+(?:-\d+)?)*\]/g, "$1");
  const rest = list.slice(first.length);
  if (/^[\w.-]+$/.test(host) && (rest === "" || rest.startsWith(","))) return host;
  throw new UsageError(
    `${what} must be a list of machines as SLURM writes it, such as gpu[007-010,012], found "${list}"; set MASTER_ADDR to the machine of rank 0`,
  );
}

/**
 * The number of tasks on one machine, from SLURM's `2(x3),1`: two on each of three machines, one on the fourth.
 *
 * @param list - the numbers of all machines
 * @param machine - the machine's place in the list, from 0
 * @param what - the list's origin, for the message
 * @returns undefined when the list is shorter
 * @throws UsageError when it is not such a list
 */
export function tasksOn(list: string, machine: number, what: string): number | undefined {
  let left = machine;
  for (const part of list.split(",")) {
    const [, tasks, machines = "1"] = /^(\d+)(?:\(x(\d+)\))?$/.exec(part) ?? [];
    if (tasks === undefined) {
      throw new UsageError(`${what} must be numbers of tasks as SLURM writes them, such as 2(x3),1, found "${list}"`);
    }
    left -= Number(machines);
    if (left < 0) return Number(tasks);
  }
  return undefined;
}

/** Which of several processes share a machine. */

import { readFileSync } from "node:fs";
import { hostname } from "node:os";

/** The processes of one machine. */
export interface Neighbours {
  /** Number of this process among them. */
  readonly rank: number;
  /** How many they are. */
  readonly size: number;
  /** Their ranks among all processes, ascending. */
  readonly ranks: readonly number[];
}

/** Names this machine, or container: the host name may be that of others, and the same machine may have several. */
export function thisMachine(): string {
  try {
    return `${hostname()} ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`;
  } catch {
    return hostname();
  }
}

/** Who shares the machine of `rank`, if all processes are on these machines. */
export function neighboursOf(rank: number, machines: readonly string[]): Neighbours {
  const ranks = [...machines.keys()].filter((other) => machines[other] === machines[rank]);
  return { rank: ranks.indexOf(rank), size: ranks.length, ranks };
}

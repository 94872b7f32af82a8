/** Which of several processes this one is, as set by torchrun, SLURM's wrappers and `stf launch`. */

import { UsageError } from "./errors.js";

/** The variable that holds the number of the process that started this one with `stf launch`. */
export const LAUNCHER = "STF_LAUNCHER";

/** One process among several that divide their work. */
export interface Rank {
  /** From 0 to size - 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Number of the process on its machine, and of its GPU. */
  readonly local: number;
}

/** The part of `count` items, in order, that one of several processes works on. */
export function partOf(
  count: number,
  { rank, size }: Pick<Rank, "rank" | "size">,
): { readonly first: number; readonly end: number } {
  return { first: Math.floor((rank * count) / size), end: Math.floor(((rank + 1) * count) / size) };
}

/**
 * @param what - name of the job
 * @throws UsageError when this is one of several processes, each of which would do all the work
 */
export function checkAlone(what: string, { size }: Rank = rankOf()): void {
  if (size === 1) return;
  throw new UsageError(
    `${what} cannot divide its work, and the variable WORLD_SIZE makes this one of ${size} processes, which would all do the same; start it once, without RANK and WORLD_SIZE`,
  );
}

/** @throws UsageError when the variables are invalid. */
export function rankOf(environment: Readonly<Record<string, string | undefined>> = process.env): Rank {
  const read = (name: string, fallback: number, least: number): number => {
    const text = environment[name];
    if (text === undefined || text === "") return fallback;
    if (/^\d+$/.test(text) && Number(text) >= least) return Number(text);
    throw new UsageError(`the variable ${name} must be a whole number of at least ${least}, found "${text}"`);
  };
  if ((environment["RANK"] ?? "") === "" && Number(environment["WORLD_SIZE"] ?? 1) > 1) {
    throw new UsageError("the variable RANK must be set if WORLD_SIZE is above 1; unset both for a single process");
  }
  const size = read("WORLD_SIZE", 1, 1);
  const rank = read("RANK", 0, 0);
  if (rank >= size) throw new UsageError(`the variable RANK must be below WORLD_SIZE, found ${rank} and ${size}`);
  return { rank, size, local: read("LOCAL_RANK", rank, 0) };
}

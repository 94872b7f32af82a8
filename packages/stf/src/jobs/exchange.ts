/** Results of several processes brought together: through their connection, else through files in a folder that all of them see. */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { cat, empty, loadSafetensors, readSafetensorsMetadata, saveSafetensors, scope, type Tensor } from "@stf/torch";
import { makeFolder, removeEmptyFolder } from "../common/folders.js";
import { checkStop, type JobContext } from "./context.js";
import { checkSame } from "./same-work.js";
import type { Team } from "./team.js";

const POLL_MILLISECONDS = 100;
/** The files of {@link Exchange}, complete or not: other files in the folder belong to somebody else. */
const PART = /^\.?part-[0-9a-f]+-\d+\.safetensors(\.\d+\.partial)?$/;

/** Values of each process that are passed on at once: all but the first throw away what comes. */
const CHUNK_VALUES = 4 * 2 ** 20;

/**
 * The rows of all processes, one process after the other, in the first; undefined in the others.
 *
 * @param rows - of this process, on the CPU
 */
function gatherRows(rows: Tensor, team: Team): Tensor | undefined {
  const counts = team.gather(rows.size(0));
  const [, ...rest] = rows.shape as number[];
  const step = Math.max(1, Math.floor(CHUNK_VALUES / rest.reduce((a, b) => a * b, 1)));
  const sum = (some: readonly number[]): number => some.reduce((a, b) => a + b, 0);
  const whole = team.rank === 0 ? empty([sum(counts), ...rest], { dtype: rows.dtype }) : undefined;
  for (let first = 0; first < Math.max(...counts); first += step) {
    const lengths = counts.map((count) => Math.min(Math.max(count - first, 0), step));
    scope(() => {
      const length = lengths[team.rank] as number;
      const chunk = team.gatherRows(rows.narrow(0, length > 0 ? first : 0, length));
      let at = 0;
      for (const [rank, each] of lengths.entries()) {
        whole?.narrow(0, each > 0 ? sum(counts.slice(0, rank)) + first : 0, each).copy_(chunk.narrow(0, at, each));
        at += each;
      }
    });
  }
  return whole;
}

/** A folder through which processes give the first one what they computed, unless they are connected. */
export class Exchange {
  readonly #folder: string;
  readonly #context: JobContext;

  /** @param folder - used, and finally removed, only if there are several processes */
  constructor(folder: string, context: JobContext) {
    this.#folder = folder;
    this.#context = context;
  }

  #pathOf(key: string, rank: number): string {
    return join(this.#folder, `part-${key.slice(0, 16)}-${rank}.safetensors`);
  }

  /** Waits for the file of a process; one with another key is left over from other work, and will be replaced. */
  async #wait(path: string, key: string): Promise<void> {
    for (;;) {
      // Files appear under their name only when complete.
      if (existsSync(path) && readSafetensorsMetadata(path)["key"] === key) return;
      checkStop(this.#context);
      await setTimeout(POLL_MILLISECONDS);
    }
  }

  /**
   * The rows of all processes, one process after the other. The first process gets them; the others get undefined.
   *
   * @param key - identifies what is exchanged, hexadecimal: equal in all processes, and different if anything about the work is
   * @param own - tensors by name, on the CPU, which are consumed
   * @throws Stopped when the job is to stop; errors of the file system; UsageError when connected processes have other keys
   */
  async gather(key: string, own: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor> | undefined> {
    const { team } = this.#context;
    const { rank, size } = this.#context.rank;
    if (size === 1) return new Map(own);
    const release = (tensors: Iterable<Tensor>): void => {
      for (const each of tensors) each.dispose();
    };
    if (team) {
      checkSame("images and networks", key, team);
      const whole = [...own].map(([name, rows]) => [name, gatherRows(rows, team)] as const);
      release(own.values());
      return rank > 0 ? undefined : new Map(whole as (readonly [string, Tensor])[]);
    }
    if (rank > 0) {
      makeFolder(this.#folder, "dest");
      saveSafetensors(this.#pathOf(key, rank), new Map(own), { key });
      release(own.values());
      return undefined;
    }
    const parts: ReadonlyMap<string, Tensor>[] = [own];
    try {
      for (let other = 1; other < size; other++) {
        const path = this.#pathOf(key, other);
        await this.#wait(path, key);
        parts.push(loadSafetensors(path).tensors);
      }
      return scope(
        () => new Map([...own.keys()].map((key) => [key, cat(parts.map((part) => part.get(key) as Tensor))] as const)),
      );
    } finally {
      for (const part of parts) release(part.values());
    }
  }

  /** Removes what processes wrote, in this call or an earlier one that was killed, when the first process needs it no more. */
  finish(): void {
    const { rank, size } = this.#context.rank;
    if (size === 1 || rank > 0 || this.#context.team || !existsSync(this.#folder)) return;
    for (const name of readdirSync(this.#folder).filter((each) => PART.test(each))) {
      rmSync(join(this.#folder, name), { force: true });
    }
    removeEmptyFolder(this.#folder);
  }
}

/** `stf launch`: starts one process per rank on this machine, as torchrun does. */

import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { UsageError } from "../common/errors.js";

/** Commands that divide their work among several processes. */
const shared = ["train", "generate", "evaluate", "fid", "likelihood", "analyze"];

/** Sets the command's options and action. */
export function declare(command: Command): void {
  command
    .option("--nproc <N>", "number of processes (default 1)")
    .argument("<command...>", 'what to run, after "--": generate, evaluate or fid calc, with options')
    .action(async (words: string[], { nproc = "1" }: { nproc?: string }) => {
      const count = Number(nproc);
      if (!/^\d+$/.test(nproc) || count < 1) {
        throw new UsageError(`--nproc must be a whole number of at least 1, found "${nproc}"`);
      }
      const most = Math.max(16, 4 * availableParallelism());
      if (count > most) {
        throw new UsageError(
          `--nproc must be at most ${most} on this machine, four for each processor, found ${count}`,
        );
      }
      if (!shared.includes(words[0] ?? "")) {
        throw new UsageError(
          `launch runs ${shared.join(", ")}, found "${words[0]}"; no other command divides its work among processes`,
        );
      }
      const { launch } = await import("./launch.js");
      process.exitCode = await launch(count, words);
    });
}

/** How much memory training takes: the peak of a process that makes a network and takes one step, above that at its start. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { engineReport } from "@stf/torch";
import type { Precision } from "stf";
import { type Benchmark, compare, megabytes } from "../benchmark.js";
import { networkNames, networks } from "../networks.js";
import { peerEnvironment, program } from "../peer.js";

const ownProgram = fileURLToPath(new URL("../memory.js", import.meta.url));

/** The number that a fresh process prints. */
function printedBy(command: string, args: readonly string[], env = process.env): number {
  const { status, stdout } = spawnSync(command, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", env });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
  return Number(stdout);
}

/** In the precisions that this processor computes with; none where the system does not tell the peak. */
export const memoryBenchmarks = (precisions: readonly Precision[]): readonly Benchmark[] =>
  (existsSync("/proc/self/status") ? networkNames : []).flatMap((key) =>
    precisions.map((precision) => ({
      section: "Memory",
      name: `peak memory, train step, ${networks[key].label}, ${precision}`,
      isShort: key === "small",
      run(bench) {
        const { pytorch } = bench;
        const { batch, config } = networks[key];
        const task = JSON.stringify([config, precision, { batch, shape: Object.values(config.shape) }]);
        const args = [program("memory"), String(engineReport().threads), task];
        return compare(
          // Runs of one program differ by little, and each loads everything anew.
          { ...bench, budget: { seconds: 0, least: 1, most: 1, uncounted: 0 } },
          {
            unit: megabytes,
            ours: () => printedBy(process.execPath, [ownProgram, key, precision]),
            against: [
              pytorch && {
                what: `PyTorch, ${precision}`,
                cost: () => printedBy(pytorch.python, args, peerEnvironment()),
              },
            ],
          },
        );
      },
    })),
  );

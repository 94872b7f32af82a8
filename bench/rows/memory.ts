/** The memory of training: the peak of a process that creates a network and takes two steps, minus that at its start. */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { deviceMemory, engineReport, resetPeakMemory } from "@stf/torch";
import { denoisingTarget } from "stf";
import { type Benchmark, compare, megabytes } from "../benchmark.js";
import { batchOn, networkNames, networks } from "../networks.js";
import { peerEnvironment, program } from "../peer.js";
import type { Place } from "../place.js";
import { Trainee } from "../trainee.js";

const ownProgram = fileURLToPath(new URL("../memory.js", import.meta.url));

/** The number that a fresh process prints. */
function printedBy(command: string, args: readonly string[], env = process.env): number {
  const { status, stdout } = spawnSync(command, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", env });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${status}`);
  return Number(stdout);
}

/** In the precisions of this processor; none if the system does not report the peak. */
export const memoryBenchmarks = ({ precisions }: Place): readonly Benchmark[] =>
  (existsSync("/proc/self/status") ? networkNames : []).flatMap((key) =>
    precisions.map((precision) => ({
      section: "Memory",
      name: `peak memory, train step, ${networks[key].label}, ${precision}`,
      isShort: key === "small",
      run(bench) {
        const { pytorch } = bench;
        const { batch, config } = networks[key];
        const task = JSON.stringify([config, precision, { batch: batch.cpu, shape: Object.values(config.shape) }]);
        const args = [program("memory"), String(engineReport().threads), task];
        return compare(
          // Runs of one program differ little, and each loads everything again.
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

/** The peak GPU memory of a training step and everything it needs. */
export const deviceMemoryBenchmarks = ({ precisions }: Place): readonly Benchmark[] =>
  networkNames.flatMap((key) =>
    precisions.map((precision) => ({
      section: "Memory",
      name: `peak GPU memory, train step, ${networks[key].label}, ${precision}`,
      isShort: key === "ddpmpp",
      async run(bench) {
        const { place, pytorch } = bench;
        const { config } = networks[key];
        const batch = batchOn(networks[key], place);
        const ours = (): number => {
          const before = deviceMemory(place.device)?.allocated ?? 0;
          resetPeakMemory(place.device);
          const trainee = new Trainee(place, config, precision, batch, batch);
          trainee.step({ target: denoisingTarget });
          const { peak = Number.NaN } = deviceMemory(place.device) ?? {};
          trainee.dispose();
          return peak - before;
        };
        const sizes = { batch, shape: Object.values(config.shape) };
        const theirs = pytorch && {
          what: `PyTorch, ${precision}`,
          cost: () => pytorch.call<number>("peak", { config, precision, sizes }),
        };
        return await compare(
          { ...bench, budget: { seconds: 0, least: 1, most: 1, uncounted: 0 } },
          { unit: megabytes, ours, against: [theirs] },
        );
      },
    })),
  );

/** How long the command takes to print its help: whole processes. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { type Benchmark, compare, milliseconds } from "../benchmark.js";
import { time } from "../measure.js";
import { peerEnvironment } from "../peer.js";

const command = fileURLToPath(new URL("../../../packages/stf/bin/stf.js", import.meta.url));

/** Seconds of a process from its start to its end. */
function processTime(program: string, args: readonly string[], env = process.env): number {
  return time(() => {
    const { status } = spawnSync(program, args, { stdio: "ignore", env });
    if (status !== 0) throw new Error(`${program} ${args.join(" ")} ended with ${status}`);
  });
}

export const commandBenchmarks: readonly Benchmark[] = [["--help"], ["train", "--help"]].map((args) => ({
  section: "Start-up of the command",
  name: `start-up, stf ${args.join(" ")}`,
  isShort: true,
  run(bench) {
    const { pytorch } = bench;
    return compare(bench, {
      unit: milliseconds,
      ours: () => processTime(process.execPath, [command, ...args]),
      against: [
        { what: "node with nothing to do", cost: () => processTime(process.execPath, ["-e", "0"]) },
        pytorch && {
          what: 'python -c "import torch"',
          cost: () => processTime(pytorch.python, ["-c", "import torch"], peerEnvironment()),
        },
      ],
    });
  },
}));

/** `stf launch`: starts the processes of a job on this machine, as torchrun does. */

import { availableParallelism } from "node:os";
import type { Command } from "commander";
import { HIGHEST_PORT, hostOf } from "../common/environment.js";
import { UsageError } from "../common/errors.js";
import { hostGiven, LOOPBACK, MOST_PROCESSES, PUBLISHED_PORT, portGiven } from "../common/ranks.js";
import type { LaunchPlan } from "./launch.js";
import { KeyedOption } from "./options.js";

/** Commands that divide their work among several processes. */
const shared = ["train", "generate", "evaluate", "fid", "likelihood", "analyze"];

/** Other spellings of options, by their keys: torchrun's. */
const spellings: Readonly<Partial<Record<keyof Given, readonly string[]>>> = {
  nproc: ["--nproc-per-node", "--nproc_per_node"],
  nodeRank: ["--node_rank"],
  masterAddr: ["--master_addr"],
  masterPort: ["--master_port"],
};

const examples = `
Examples:
  stf launch --nproc=4 -- train --data=photos.zip --name=photos                  one network, four processes
  stf launch --nproc=4 -- train --resume=latest                                  continues it, with any number of processes
  stf launch --nproc=4 -- generate --network=net.safetensors --outdir=images     one set of images`;

/** An error in options, which may be those of the command. */
function withSeparatorNamed(text: string): string {
  const isForeign = text.startsWith("error: unknown option") && !process.argv.includes("--");
  return isForeign
    ? `${text.trimEnd()}; options of the command to run come after "--", as in: launch --nproc=2 -- train --data=...\n`
    : text;
}

/** The options as text. */
interface Given {
  readonly nproc?: string;
  readonly nnodes?: string;
  readonly nodeRank?: string;
  readonly masterAddr?: string;
  readonly masterPort?: string;
}

/** @throws UsageError when an option is not a whole number from least to most. */
function wholeNumber(flag: string, text: string, least: number, most = Number.MAX_SAFE_INTEGER): number {
  if (/^\d+$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text);
  const range = most < Number.MAX_SAFE_INTEGER ? `from ${least} to ${most}` : `of at least ${least}`;
  throw new UsageError(`${flag} must be a whole number ${range}, found "${text}"`);
}

/** A number that Kubeflow sets for torchrun's option of the same name, which may also hold words and ranges there. */
function podNumber(name: string): string | undefined {
  const text = process.env[name];
  return text !== undefined && /^\d+$/.test(text) ? text : undefined;
}

/** @throws UsageError when options are invalid or one is missing. */
function planOf(given: Given): LaunchPlan {
  const nproc = wholeNumber("--nproc", given.nproc ?? podNumber("PET_NPROC_PER_NODE") ?? "1", 1);
  const most = Math.max(16, 4 * availableParallelism());
  if (nproc > most) {
    throw new UsageError(`--nproc must be at most ${most} on this machine, four for each processor, found ${nproc}`);
  }
  const nnodes = wholeNumber(
    "--nnodes",
    given.nnodes ?? podNumber("PET_NNODES") ?? "1",
    1,
    Math.floor(MOST_PROCESSES / nproc),
  );
  const nodeRank = given.nodeRank ?? podNumber("PET_NODE_RANK") ?? (nnodes === 1 ? "0" : undefined);
  if (nodeRank === undefined) {
    throw new UsageError(
      `--node-rank must be the number of this machine, from 0 to ${nnodes - 1}, for --nnodes=${nnodes}`,
    );
  }
  const host = given.masterAddr === undefined ? hostGiven(process.env) : hostOf(given.masterAddr, "--master-addr");
  if (host === undefined && nnodes > 1) {
    throw new UsageError(`--master-addr must name the machine with --node-rank=0 for --nnodes=${nnodes}`);
  }
  const port =
    given.masterPort === undefined
      ? portGiven(process.env)
      : wholeNumber("--master-port", given.masterPort, 1, HIGHEST_PORT);
  return {
    nproc,
    nnodes,
    nodeRank: wholeNumber("--node-rank", nodeRank, 0, nnodes - 1),
    host: host ?? LOOPBACK,
    port: port ?? (nnodes > 1 ? PUBLISHED_PORT : undefined),
  };
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  command
    .option("--nproc <N>", "number of processes on this machine, also --nproc-per-node (default 1)")
    .option("--nnodes <N>", "number of machines, on each of which this command is run (default 1)")
    .option("--node-rank <K>", "number of this machine, from 0")
    .option("--master-addr <HOST>", "machine number 0, by a name or address that all machines know")
    .option("--master-port <PORT>", `port on it (default: a free one; ${PUBLISHED_PORT} for several machines)`)
    .argument("<command...>", `what to run, after "--", with its options: ${shared.join(", ")}`)
    .addHelpText(
      "after",
      `${examples}\n\nOptions may also be written as torchrun's: --nproc_per_node, --node_rank, --master_addr.`,
    );
  for (const [key, names] of Object.entries(spellings)) {
    for (const name of names) command.addOption(new KeyedOption(key, `${name} <X>`).hideHelp());
  }
  const { outputError } = command.configureOutput();
  command.configureOutput({ outputError: (text, write) => outputError?.(withSeparatorNamed(text), write) });
  command.action(async (words: string[], given: Given) => {
    const plan = planOf(given);
    if (!shared.includes(words[0] ?? "")) {
      throw new UsageError(
        `launch runs ${shared.join(", ")}, found "${words[0]}"; no other command divides its work among processes`,
      );
    }
    const { launch } = await import("./launch.js");
    process.exitCode = await launch(plan, words);
  });
}

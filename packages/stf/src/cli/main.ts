#!/usr/bin/env node
/**
 * The `stf` command. Every module loaded delays the start, so a command's options are loaded when the command is
 * named, and the computing parts, including libtorch, when there is something to compute.
 */

import { constants } from "node:os";
import { Command, CommanderError } from "commander";
import { checkNode } from "../common/node-version.js";
import { wasToIgnoreHangups } from "./hangups.js";
import { watchLauncher } from "./launcher-link.js";
import { watchOutput } from "./output.js";

const USAGE = 2;
const FAILURE = 1;
const TOO_MANY_FILES =
  "the limit of open files for this process is too low; raise it, for example by: ulimit -n 1024, and try again (EMFILE)";

const program = new Command("stf")
  .description("Train, sample and explain diffusion models with the Stable Target Field objective.")
  .version("0.1.0")
  .option("--debug", "show stack traces")
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: (text, write) => write(`stf: ${oneLine(text)}\n`) })
  .exitOverride()
  .hook("preAction", (_, command) => {
    if (command.name() !== "doctor") checkNode();
  });

/** Commander puts its suggestion on a separate line. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, "")
    .trim()
    .replace(/\s*\n\s*/g, " ");
}

const commands = [
  {
    name: "train",
    description: "train a network on images",
    load: () => import("./train-command.js"),
  },
  {
    name: "generate",
    description: "draw images from a trained network",
    load: () => import("./generate-command.js"),
  },
  {
    name: "evaluate",
    description: "compute quality numbers of images or networks, or compare such numbers",
    load: () => import("./evaluate-command.js"),
  },
  {
    name: "fid",
    description: "Fréchet distance of images, and reference statistics, as the published tool computes them",
    load: () => import("./fid-command.js"),
  },
  {
    name: "likelihood",
    description: "compute the bits per dimension of images under a network",
    load: () => import("./likelihood-command.js"),
  },
  {
    name: "analyze",
    description: "measure the variance of targets on a data set, and where networks underfit or memorise",
    load: () => import("./analyze-command.js"),
  },
  {
    name: "analytic",
    description: "give a network Gaussians, fitted to its images, that replace it at high noise",
    load: () => import("./analytic-command.js"),
  },
  {
    name: "ema",
    description: "make networks with weight averages of other widths from a run's stored averages",
    load: () => import("./ema-command.js"),
  },
  {
    name: "features",
    description: "train a classifier whose features compare sets of images",
    load: () => import("./features-command.js"),
  },
  {
    name: "dataset",
    description: "convert images to a data set, or check one before training",
    load: () => import("./dataset-command.js"),
  },
  {
    name: "launch",
    description: "run a command in several processes that divide its work",
    load: () => import("./launch-command.js"),
  },
  {
    name: "import",
    description: "convert a checkpoint of another program to a network snapshot; nothing in it is executed",
    load: () => import("./import-command.js"),
  },
  {
    name: "doctor",
    description: "check this machine's setup and report what is missing",
    load: () => import("./doctor-command.js"),
  },
];

/** Prints one clear line; the exit code tells a usage error from a failure. */
async function report(error: unknown): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  // Before anything else is loaded, because there may be no file descriptor left for it.
  if ((error as NodeJS.ErrnoException).code === "EMFILE") {
    console.error(`stf: ${TOO_MANY_FILES}`);
    return FAILURE;
  }
  const [{ TeamError, UsageError }, { withFlags }] = await Promise.all([
    import("../common/errors.js"),
    import("./flags.js"),
  ]);
  // Names from a damaged or hostile file may hold anything; the terminal gets one line without control characters.
  const message = withFlags(error instanceof Error ? error.message : String(error)).replace(/\p{Cc}+/gu, " ");
  console.error(program.opts<{ debug?: boolean }>().debug ? error : `stf: ${message}`);
  const isUsage = error instanceof UsageError || (error instanceof TeamError && error.isUsage);
  return isUsage ? USAGE : FAILURE;
}

watchLauncher();
watchOutput();
// Before a command expects it, Node would wait for a debugger and go on, and nobody would stop before the deadline.
process.once("SIGUSR1", () => process.exit(128 + constants.signals.SIGUSR1));
if (wasToIgnoreHangups()) process.on("SIGHUP", () => {});
process.on("uncaughtException", async (error) => process.exit(await report(error)));

try {
  for (const { name, description, load } of commands) {
    const command = program.command(name).description(description);
    if (process.argv.includes(name)) (await load()).declare(command);
  }
  await program.parseAsync();
} catch (error) {
  process.exitCode = await report(error);
}

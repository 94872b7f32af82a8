#!/usr/bin/env node
/** The `stf` command. Heavy modules are imported by the command that needs them: help does not wait for libtorch. */

import { Command, CommanderError, Option } from "commander";
import { parse } from "../config/fields.js";
import { generateFields } from "../config/generate-options.js";
import { importFields } from "../config/import-options.js";
import { type Preset, presets, trainFields } from "../config/train-options.js";
import { UsageError } from "../run/errors.js";
import { addFields } from "./options.js";

const USAGE = 2;
const FAILURE = 1;

const program = new Command("stf")
  .description("Train, sample and explain diffusion models with the Stable Target Field objective.")
  .version("0.1.0")
  .option("--debug", "show stack traces")
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: (text, write) => write(`stf: ${oneLine(text)}\n`) })
  .exitOverride();

/** Commander puts its suggestion on a line of its own. */
function oneLine(text: string): string {
  return text
    .replace(/^error: /, "")
    .trim()
    .replace(/\s*\n\s*/g, " ");
}

function presetHelp(): string {
  const lines = Object.entries<Preset>(presets).map(([name, { help }]) => `  ${name.padEnd(26)} ${help}`);
  return `\nPresets:\n${lines.join("\n")}`;
}

const trainCommand = program
  .command("train")
  .description("train a network on images")
  .addOption(
    new Option("--preset <NAME>", "settings that belong together; other options change them").choices(
      Object.keys(presets),
    ),
  )
  .option("--resume <PATH>", "go on from a training state, or from the latest one in a run folder")
  .option("-n, --dry-run", "say what would be done, and stop");
addFields(trainCommand, trainFields)
  .addHelpText("after", presetHelp())
  .action(async ({ preset, resume, dryRun, ...given }) => {
    const options = parse(trainFields, given);
    const { train } = await import("./train.js");
    process.exitCode = await train(options, { preset, resume, dryRun });
  });

addFields(program.command("generate").description("draw images from a trained network"), generateFields).action(
  async (given) => {
    const options = parse(generateFields, given);
    const { generate } = await import("./generate.js");
    process.exitCode = generate(options);
  },
);

addFields(
  program
    .command("import")
    .description("turn a checkpoint made elsewhere into a network snapshot; nothing in it is executed")
    .argument("<FILE>", "a .pkl snapshot of EDM or STF, a .pt or .pth of PyTorch, or safetensors"),
  importFields,
).action(async (file, given) => {
  const options = parse(importFields, given);
  const { importCheckpoint } = await import("./import.js");
  process.exitCode = importCheckpoint(file, options);
});

program
  .command("doctor")
  .description("report what this machine has, and what is missing")
  .action(async () => {
    const { doctor } = await import("./doctor.js");
    process.exitCode = await doctor();
  });

/** One clear line; the exit code says whose fault it was. */
function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
  // Names out of a damaged or hostile file may hold anything; the terminal gets one line without control characters.
  const message = (error instanceof Error ? error.message : String(error)).replace(/\p{Cc}+/gu, " ");
  console.error(program.opts<{ debug?: boolean }>().debug ? error : `stf: ${message}`);
  return error instanceof UsageError ? USAGE : FAILURE;
}

// A reader such as `head` that has seen enough is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(0);
});

try {
  await program.parseAsync();
} catch (error) {
  process.exitCode = report(error);
}

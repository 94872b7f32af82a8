/** `stf train` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { UsageError } from "../common/errors.js";
import { checkAlone } from "../common/ranks.js";
import { didYouMean } from "../common/similar.js";
import { formatDuration } from "../common/text.js";
import { parse } from "../config/fields.js";
import { type Preset, type PresetName, presets, trainFields } from "../config/train-options.js";
import { checkTrainRequest, type TrainRequest, trainingOptions } from "../config/train-request.js";
import type { TrainingEstimate } from "../jobs/estimate.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import { withFlags } from "./flags.js";
import { nextSteps } from "./next-steps.js";
import { addFields, type Groups } from "./options.js";
import { beginWork } from "./output.js";
import { addPublishedOptions, publishedHelp, withPublishedOptions } from "./published-options.js";
import { pasteable } from "./shell.js";

const groups: Groups<typeof trainFields> = {
  "Data and run folder:": ["data", "cache", "outdir", "name", "desc"],
  "Duration:": ["timeLimit", "duration"],
  "Objective:": [
    ...(["stf", "rbatch", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"] as const),
    ...(["cond", "labelDropout", "augment", "xflip", "precond", "ls"] as const),
  ],
  "Network:": ["arch", "cbase", "cres", "numBlocks", "attn", "dropout", "transfer"],
  "Optimization:": ["batch", "lr", "lrRampup", "ema", "seed"],
  "Device and memory:": ["device", "precision", "batchGpu", "recompute"],
  "Output:": ["tick", "snap", "dump", "saveEvery"],
};

function presetHelp(): string {
  const lines = Object.entries<Preset>(presets).map(([name, { help }]) => `  ${name.padEnd(26)} ${help}`);
  return `\nPresets (the defaults above are those of "published"):\n${lines.join("\n")}`;
}

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

function dryRun(plan: TrainingPlan, { imagesPerSecond, images, seconds, memory }: TrainingEstimate): void {
  const { description, options } = plan;
  const speed = imagesPerSecond.toPrecision(imagesPerSecond < 100 ? 2 : 3);
  const parts = `weights and optimizer ${mebibytes(memory.state)}, images ${mebibytes(memory.images)}, activations ${mebibytes(memory.activations)}`;
  const lines = [
    ...description,
    `time        about ${speed} images/s here: ${formatDuration(seconds)} for ${Math.round(images)} images`,
    `memory      about ${mebibytes(memory.peak)}: ${parts}, and the program`,
  ];
  for (const line of lines) console.log(withFlags(line));
  console.log(JSON.stringify(options, undefined, 2));
}

/** @throws UsageError for an unknown preset. */
function presetOf(name: string | undefined): Pick<TrainRequest, "preset"> {
  const names = Object.keys(presets) as PresetName[];
  if (name === undefined) return {};
  const preset = names.find((own) => own === name);
  if (preset !== undefined) return { preset };
  throw new UsageError(`--preset must be one of ${names.join(", ")}, found "${name}"${didYouMean(name, names)}`);
}

/** Runs the command. Returns the exit code. */
async function run(request: TrainRequest, isDry: boolean, notes: readonly string[]): Promise<number> {
  // One after the other, because Node opens the files of all modules that it loads in parallel.
  const { commandContext, interruptedCode } = await import("./context.js");
  const { planTraining } = await import("../jobs/training-plan.js");
  const { runTraining } = await import("../jobs/train.js");
  const { estimateTraining } = await import("../jobs/estimate.js");
  const { Stopped } = await import("../jobs/context.js");
  if (!isDry) beginWork();
  const context = commandContext({ plainSeconds: 60 });
  for (const note of notes) context.reporter.print(`note        ${note}`);
  let plan: TrainingPlan;
  try {
    plan = await planTraining(request, context);
    if (isDry) {
      dryRun(plan, estimateTraining(plan, context));
      return 0;
    }
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    context.reporter.print("stopped before the first step; nothing was written");
    return interruptedCode();
  }
  const result = await runTraining(plan, context);
  const { reporter } = context;
  if (result.reason === "complete") {
    reporter.print(
      `nothing left to do: ${result.folder} has been trained on ${result.images} images; give a longer --duration`,
    );
    return 0;
  }
  if (result.problem !== undefined) {
    reporter.warn(result.problem);
    return 1;
  }
  if (result.reason === "stopped") {
    reporter.print(`resume with: ${pasteable("train", `--resume=${result.folder}`)}`);
    return interruptedCode();
  }
  for (const line of nextSteps(result, plan)) reporter.print(line);
  return result.samples === undefined ? interruptedCode() : 0;
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  command
    .option("--preset <NAME>", "a set of defaults, which other options override; those below")
    .option("--resume <PATH>", "resume from a training state, or from the latest one in a run folder")
    .option("-n, --dry-run", "show what would be done, and stop");
  addPublishedOptions(addFields(command, trainFields, groups))
    .addHelpText("after", `${presetHelp()}\n\n${publishedHelp}`)
    .action(async ({ preset, resume, dryRun: isDry = false, ...texts }) => {
      const published = withPublishedOptions(texts);
      const request: TrainRequest = { ...parse(trainFields, published.texts), ...presetOf(preset), resume };
      checkAlone("train");
      if (resume === undefined) trainingOptions(request, undefined);
      else checkTrainRequest(request);
      process.exitCode = await run(request, isDry, published.notes);
    });
}

/** `stf train` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { UsageError } from "../common/errors.js";
import { checkAlone, LAUNCHER } from "../common/ranks.js";
import { didYouMean } from "../common/similar.js";
import { parse } from "../config/fields.js";
import { type Preset, type PresetName, presets, trainFields } from "../config/train-options.js";
import { checkTrainRequest, type TrainRequest, trainingOptions } from "../config/train-request.js";
import { trainingMetrics } from "../config/training-metrics.js";
import type { JobContext } from "../jobs/context.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import { nextSteps } from "./next-steps.js";
import { addFields, type Groups } from "./options.js";
import { beginWork } from "./output.js";
import { addPublishedOptions, publishedHelp, withPublishedOptions } from "./published-options.js";
import { pasteable } from "./shell.js";

/** Headings of the help, in its order. */
const groups: Groups<typeof trainFields> = {
  "Data and run folder:": ["data", "heldOut", "cache", "outdir", "name", "desc"],
  "Duration:": ["timeLimit", "duration"],
  "Stable targets:": ["stf", "rbatch", "stfShard", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"],
  "Classes and augmentation:": ["cond", "labelDropout", "augment", "xflip"],
  "Process and noise levels:": ["precond", "pMean", "pStd", "sigmaData", "sigmaMin", "sigmaMax"],
  "Analytic denoiser at high noise:": ["analytic", "trainBelow"],
  "Network:": ["arch", "cbase", "cres", "numBlocks", "attn", "dropout", "transfer"],
  "Optimization:": ["batch", "lr", "lrRampup", "average", "ema", "clip", "ls", "seed"],
  "When training diverges:": ["maxSkipped", "onDivergence"],
  "Device and memory:": ["device", "precision", "batchGpu", "recompute"],
  "What is written, and when:": ["tick", "snap", "dump", "keep", "saveEvery", "tensorboard"],
  "Numbers of quality on the way:": ["metrics", "metricsEvery", "metricsFeatures"],
};

const examples = `
Examples:
  stf train --data=photos.zip --time-limit=60                      everything is chosen to suit the images and an hour here
  stf train --preset=cifar10-ddpmpp -n                             what a preset sets; with --data also its memory and time here
  stf train --preset=cifar10-ddpmpp --data=cifar10.zip --name=a    the same again continues the run after an interruption
  stf train --resume=latest --duration=300                         the run that was saved last goes on for longer`;

function presetHelp(): string {
  const width = Math.max(...Object.keys(presets).map((name) => name.length));
  const lines = Object.entries<Preset>(presets).map(([name, { help }]) => `  ${name.padEnd(width)}  ${help}`);
  return `\nPresets (the defaults above are those of "published"):\n${lines.join("\n")}`;
}

/** @throws UsageError for an unknown preset. */
function presetOf(name: string | undefined): Pick<TrainRequest, "preset"> {
  const names = Object.keys(presets) as PresetName[];
  if (name === undefined) return {};
  const preset = names.find((own) => own === name);
  if (preset !== undefined) return { preset };
  throw new UsageError(`--preset must be one of ${names.join(", ")}, found "${name}"${didYouMean(name, names)}`);
}

/** Plans a training and passes it on. Returns the exit code. */
async function withPlan(
  request: TrainRequest,
  notes: readonly string[],
  body: (plan: TrainingPlan, context: JobContext) => Promise<number>,
): Promise<number> {
  // One after the other, because Node opens the files of all modules that it loads in parallel.
  const { commandContext, interruptedCode } = await import("./context.js");
  const { planTraining } = await import("../jobs/training-plan.js");
  const { Stopped } = await import("../jobs/context.js");
  const { withTeam } = await import("./team.js");
  const context = commandContext({ plainSeconds: 60 });
  for (const note of notes) context.reporter.print(`note        ${note}`);
  try {
    return await withTeam(context, async (shared) => body(await planTraining(request, shared), shared));
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    context.reporter.print("stopped before the first step; nothing was trained");
    return interruptedCode();
  }
}

/** Shows a plan and its cost. Returns the exit code. */
async function dryRun(plan: TrainingPlan, context: JobContext, isJson: boolean): Promise<number> {
  const { estimateTraining } = await import("../jobs/estimate.js");
  const { estimateMetrics } = await import("../jobs/metrics-cost.js");
  const { describedEstimate } = await import("./train-dry-run.js");
  const metrics = await estimateMetrics(plan, context);
  const described = { ...plan, description: [...plan.description, ...metrics] };
  const estimate = estimateTraining(plan, context);
  if (isJson) console.log(JSON.stringify({ options: plan.options, estimate }, undefined, 2));
  else for (const line of describedEstimate(described, estimate, groups)) context.reporter.print(line);
  return 0;
}

/** Whether only the settings can be shown, because no images are given. */
function isWithoutImages({ data, preset, resume }: TrainRequest): boolean {
  const isChosen = preset === undefined || preset === "auto";
  return resume === undefined && !isChosen && data === undefined && presets[preset].options.data === undefined;
}

/** Shows what a preset and the other options of a command set. */
async function showSettings(request: TrainRequest): Promise<void> {
  const options = trainingOptions({ ...request, data: "IMAGES" }, undefined);
  const { describedSettings } = await import("./train-dry-run.js");
  const seed = request.seed ?? null;
  for (const line of describedSettings({ ...options, data: null, seed }, groups)) console.log(line);
  console.log("note        with --data, this also shows how long the training takes here, and how much memory");
}

/** Prints how good the images of a short run are, if its preset has features for them. */
async function printQuality(
  snapshot: string,
  { options: { data } }: TrainingPlan,
  features: string,
  context: JobContext,
) {
  const [{ runQuality }, { describeEvaluation }] = await Promise.all([
    import("../jobs/run-quality.js"),
    import("./numbers.js"),
  ]);
  const evaluation = await runQuality({ snapshot, data, features }, context);
  if (evaluation) for (const line of describeEvaluation(evaluation)) context.reporter.print(line);
}

/** The words that start this training again: in as many processes, if stf launch has started all of them here. */
function wordsToContinue({ team }: JobContext): readonly string[] {
  const isLaunchedHere = team && team.local.size === team.size && process.env[LAUNCHER] !== undefined;
  return isLaunchedHere ? ["launch", `--nproc=${team.size}`, "--", "train"] : ["train"];
}

/** Trains. Returns the exit code. */
async function run(plan: TrainingPlan, context: JobContext, features: string | undefined): Promise<number> {
  const { interruptedCode } = await import("./context.js");
  const { soloContext } = await import("../jobs/context.js");
  const { runTraining } = await import("../jobs/train.js");
  const result = await runTraining(plan, context);
  const { reporter, rank } = context;
  // The first process speaks for all.
  if (rank.rank > 0) return result.reason === "stopped" ? interruptedCode() : 0;
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
    reporter.print(`resume with: ${pasteable(...wordsToContinue(context), `--resume=${result.folder}`)}`);
    return interruptedCode();
  }
  const { snapshot } = result;
  // Two numbers of one name, from different references, would only confuse.
  const isMeasured = trainingMetrics(plan.options).length > 0;
  if (features !== undefined && snapshot !== undefined && !isMeasured) {
    await printQuality(snapshot, plan, features, soloContext(context));
  }
  for (const line of nextSteps(result, plan, wordsToContinue(context))) reporter.print(line);
  return result.samples === undefined ? interruptedCode() : 0;
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  command
    .option("--preset <NAME>", "a set of defaults, listed at the end; options that are given override them")
    .option(
      "--resume <PATH|latest>",
      "resume from a training state, from the latest one in a run folder, or from that of the latest run in --outdir",
    )
    .option("-n, --dry-run", "show what would be done, and stop")
    .option("--json", "with --dry-run, show all options and the estimate as JSON only");
  addPublishedOptions(addFields(command, trainFields, groups))
    .addHelpText("after", `${examples}\n${presetHelp()}\n\n${publishedHelp}`)
    .action(async ({ preset, resume, dryRun: isDry = false, json: isJson = false, ...texts }) => {
      if (isJson && !isDry) throw new UsageError("--json needs --dry-run; a run folder has its options as JSON");
      const published = withPublishedOptions(texts);
      const request: TrainRequest = { ...parse(trainFields, published.texts), ...presetOf(preset), resume };
      if (isDry) checkAlone("train --dry-run");
      if (isDry && !isJson && isWithoutImages(request)) return showSettings(request);
      if (resume === undefined) trainingOptions(request, undefined);
      else checkTrainRequest(request);
      if (!isDry) beginWork();
      process.exitCode = await withPlan(request, isJson ? [] : published.notes, (plan, context) =>
        isDry ? dryRun(plan, context, isJson) : run(plan, context, request.preset && presets[request.preset].features),
      );
    });
}

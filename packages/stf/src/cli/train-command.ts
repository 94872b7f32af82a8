/** `stf train` on the command line. Mistakes in options are answered without libtorch. */

import { join } from "node:path";
import { type Command, Option } from "commander";
import { checkAlone } from "../common/ranks.js";
import { parse } from "../config/fields.js";
import { type Preset, presets, trainFields } from "../config/train-options.js";
import { checkTrainRequest, type TrainRequest, trainingOptions } from "../config/train-request.js";
import type { TrainResult } from "../jobs/train.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import { STATS_FILE } from "../run/files.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

function presetHelp(): string {
  const lines = Object.entries<Preset>(presets).map(([name, { help }]) => `  ${name.padEnd(26)} ${help}`);
  return `\nPresets:\n${lines.join("\n")}`;
}

function nextSteps({ folder, snapshot }: TrainResult): string[] {
  return [
    "what to try next:",
    `  more images        npx stf generate --network=${snapshot} --seeds=64-127 --grid=more.png`,
    `  train on           npx stf train --resume=${folder} --time-limit=10`,
    `  the statistics     ${join(folder, STATS_FILE)}`,
  ];
}

function dryRun({ description, options, stateBytes }: TrainingPlan): void {
  for (const line of description) console.log(line);
  console.log(`memory      ${(stateBytes / 2 ** 20).toFixed(0)} MiB for weights and optimizer, and the activations`);
  console.log(JSON.stringify(options, undefined, 2));
}

/** Runs the command. Returns the exit code. */
async function run(request: TrainRequest, isDry: boolean): Promise<number> {
  const [{ commandContext, interruptedCode }, { runTraining }, { planTraining }] = await Promise.all([
    import("./context.js"),
    import("../jobs/train.js"),
    import("../jobs/training-plan.js"),
  ]);
  if (!isDry) beginWork();
  const context = commandContext();
  const plan = await planTraining(request, context);
  if (isDry) {
    dryRun(plan);
    return 0;
  }
  const result = await runTraining(plan, context);
  const { reporter } = context;
  if (result.reason === "complete") {
    reporter.print(`nothing left to do: ${result.folder} has seen ${result.images} images; give a longer --duration`);
    return 0;
  }
  if (result.problem !== undefined) {
    reporter.warn(result.problem);
    return 1;
  }
  if (result.samples === undefined) {
    reporter.print(`go on with: stf train --resume=${result.folder}`);
    return interruptedCode();
  }
  for (const line of nextSteps(result)) reporter.print(line);
  return 0;
}

/** Gives the command its options and its action. */
export function declare(command: Command): void {
  command
    .addOption(
      new Option("--preset <NAME>", "settings that belong together; other options change them").choices(
        Object.keys(presets),
      ),
    )
    .option("--resume <PATH>", "go on from a training state, or from the latest one in a run folder")
    .option("-n, --dry-run", "say what would be done, and stop");
  addFields(command, trainFields)
    .addHelpText("after", presetHelp())
    .action(async ({ preset, resume, dryRun: isDry = false, ...texts }) => {
      const request: TrainRequest = { ...parse(trainFields, texts), preset, resume };
      checkAlone("train");
      if (resume === undefined) trainingOptions(request, undefined);
      else checkTrainRequest(request);
      process.exitCode = await run(request, isDry);
    });
}

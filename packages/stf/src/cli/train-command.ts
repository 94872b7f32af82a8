/** The options of `stf train` on the command line, and what can be said of them without libtorch. */

import { type Command, Option } from "commander";
import { parse } from "../config/fields.js";
import { newRunOptions } from "../config/resolved-options.js";
import { type Preset, type PresetName, presets, type TrainOptions, trainFields } from "../config/train-options.js";
import { UsageError } from "../run/errors.js";
import { addFields } from "./options.js";

/** What is no option of the run itself. */
export interface TrainFlags {
  readonly preset?: PresetName;
  readonly resume?: string;
  readonly dryRun?: boolean;
}

function presetHelp(): string {
  const lines = Object.entries<Preset>(presets).map(([name, { help }]) => `  ${name.padEnd(26)} ${help}`);
  return `\nPresets:\n${lines.join("\n")}`;
}

/** @throws UsageError when a run is to be resumed and to begin in another way too. */
function checkTogether(given: Partial<TrainOptions>, { resume, preset }: TrainFlags): void {
  if (resume === undefined) return;
  if (preset !== undefined) {
    throw new UsageError("--resume and --preset exclude each other: a resumed run keeps its options");
  }
  if (given.transfer) {
    throw new UsageError("--resume and --transfer exclude each other: a resumed run has weights already");
  }
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
    .action(async ({ preset, resume, dryRun, ...texts }) => {
      const given = parse(trainFields, texts);
      const flags: TrainFlags = { preset, resume, dryRun };
      checkTogether(given, flags);
      const fresh = resume === undefined ? newRunOptions(given, preset) : undefined;
      const { train } = await import("./train.js");
      process.exitCode = await train(given, flags, fresh);
    });
}

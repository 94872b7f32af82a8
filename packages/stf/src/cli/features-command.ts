/** `stf features` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatDuration } from "../common/text.js";
import { featuresFields } from "../config/features-options.js";
import { type FeaturesRequest, featuresOptions } from "../config/features-request.js";
import { parse } from "../config/fields.js";
import type { TrainFeaturesResult } from "../jobs/train-features.js";
import { shareOf } from "../metrics/estimate.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

/** The accuracy with its standard error. */
function accuracyLine({ correct, images, from }: { correct: number; images: number; from: string }): string {
  const { value, error = 0 } = shareOf(correct, images);
  return `${value.toFixed(4)} +- ${error.toFixed(4)} on ${images} images that it was not trained on (${from})`;
}

/** The result, line by line. */
function described({ file, sha256, about, parameterCount = 0, seconds }: TrainFeaturesResult): string[] {
  if (about === undefined) return [];
  return [
    `accuracy    ${accuracyLine(about.accuracy)}`,
    `wrote       ${file}, ${(parameterCount / 1e6).toFixed(2)} million weights, after ${formatDuration(seconds)}`,
    `sha256      ${sha256}`,
  ];
}

/** Trains. Returns the exit code. */
async function train(request: FeaturesRequest): Promise<number> {
  const [{ commandContext, interruptedCode }, { trainFeatures }] = await Promise.all([
    import("./context.js"),
    import("../jobs/train-features.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter } = context;
  const result = await trainFeatures(request, context);
  if (result.reason === "stopped") {
    reporter.print(
      `stopped after ${formatDuration(result.seconds)}; nothing was written, start again to get a classifier`,
    );
    return interruptedCode();
  }
  for (const line of described(result)) reporter.print(line);
  if (result.problem === undefined) return 0;
  reporter.warn(result.problem);
  return 1;
}

/** Prints what a file says about its classifier. */
async function show(file: string): Promise<void> {
  const { readClassifier } = await import("../checkpoints/classifier-file.js");
  const { title, sha256, dimension, config, about, dispose } = await readClassifier(file);
  dispose();
  const { images, dataDigest, classNames, epochs, batch, lr, xflip, seed, accuracy } = about;
  const lines = [
    `title       ${title}`,
    `images      ${formatImageShape(config.shape)}, as they are: none is resized`,
    `features    ${dimension}`,
    `classes     ${config.classes}${classNames ? `: ${abbreviated(classNames)}` : ""}`,
    `accuracy    ${accuracyLine(accuracy)}`,
    `training    ${images} images, ${epochs} times; batch ${batch}, lr ${lr}, xflip ${xflip ? 1 : 0}, seed ${seed}`,
    `data        ${dataDigest} (images and labels)`,
    `sha256      ${sha256}`,
  ];
  for (const line of lines) console.log(line);
}

/** Sets the commands below `stf features`, with their options and actions. */
export function declare(command: Command): void {
  const training = command
    .command("train")
    .description("train a classifier on labelled images, whose features then compare sets of such images");
  addFields(training, featuresFields).action(async (texts) => {
    const request = parse(featuresFields, texts);
    checkAlone("features train");
    featuresOptions(request);
    process.exitCode = await train(request);
  });
  command
    .command("show")
    .description("print what a classifier was trained on, its accuracy and its hash")
    .argument("<FILE>", "a classifier that `stf features train` wrote")
    .action(show);
}

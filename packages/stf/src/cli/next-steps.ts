/** What to do after a training. */

import { join } from "node:path";
import { enoughMinutes, isTooShort } from "../config/enough-training.js";
import type { ImageBank } from "../data/image-bank.js";
import type { TrainResult } from "../jobs/train-in-folder.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import { STATS_FILE } from "../run/files.js";
import { pasteable } from "./shell.js";

/**
 * Commands that can be pasted. A run that was too short for anything but noise gets a longer time limit.
 *
 * @param training - the words that start a training
 */
export function nextSteps(
  { reason, folder, snapshot, images, progress }: TrainResult,
  {
    options,
    network,
    bank,
  }: Pick<TrainingPlan, "options" | "network"> & { readonly bank: Pick<ImageBank, "classNames"> },
  training: readonly string[] = ["train"],
): string[] {
  const { timeLimit } = options;
  const minutes = progress && isTooShort(images) ? enoughMinutes(progress.imagesPerSecond, images) : 0;
  // A run that has processed all its images needs a longer duration, not more time.
  const more =
    reason === "time limit" && timeLimit !== null
      ? `--time-limit=${Math.max(timeLimit, minutes)}`
      : `--duration=${Number(((2 * images) / 1e6).toPrecision(2))}`;
  const draw = (...words: string[]): string => pasteable("generate", `--network=${snapshot}`, ...words);
  const ofClass =
    (network.labelDim ?? 0) > 0
      ? [`  one class          ${draw(`--class=${bank.classNames?.[0] ?? 0}`, "--seeds=0-15", "--grid=one-class.png")}`]
      : [];
  return [
    "next steps:",
    `  more images        ${draw("--seeds=64-127", "--grid=more.png")}`,
    ...ofClass,
    `  train further      ${pasteable(...training, `--resume=${folder}`, more)}`,
    `  statistics         ${join(folder, STATS_FILE)}`,
  ];
}

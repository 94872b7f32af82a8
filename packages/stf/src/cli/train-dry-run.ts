/** What `stf train --dry-run` prints. */

import { formatDuration } from "../common/text.js";
import { flagOf } from "../config/fields.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { trainFields } from "../config/train-options.js";
import { type TrainingEstimate, warningsOn } from "../jobs/estimate.js";
import { machineMemory } from "../jobs/memory.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import type { Groups } from "./options.js";
import { pasteable } from "./shell.js";

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** A value as text that the command line reads. */
const written = (value: unknown): string => String(typeof value === "boolean" ? Number(value) : value);

/** The command that sets all options one by one: those that differ from the defaults. */
export function commandFor(options: ResolvedOptions): string {
  const entries = Object.entries(options).filter(([key, value]) => {
    const field = trainFields[key as keyof typeof trainFields];
    return JSON.stringify(value) !== JSON.stringify(field.default);
  });
  const words = entries.map(([key, value]) => `${flagOf(key)}=${written(value)}`);
  return pasteable("train", "--preset=published", ...words);
}

/** Every option with its value, under the headings of the help. */
function describedOptions(options: ResolvedOptions, groups: Groups<typeof trainFields>): string[] {
  return Object.entries(groups).flatMap(([heading, keys]) => [
    `            ${heading} ${keys.map((key) => `${flagOf(key)}=${written(options[key] ?? "-")}`).join(" ")}`,
  ]);
}

/** 1.23e9 as "1.23 G". */
function withPrefix(value: number): string {
  const prefixes = ["", "k", "M", "G", "T"];
  const power = Math.min(Math.max(Math.floor(Math.log10(value) / 3), 0), prefixes.length - 1);
  return `${Number((value / 1000 ** power).toPrecision(3))} ${prefixes[power]}`;
}

/** The plan with its cost, line by line. */
export function describedEstimate(
  { description, options }: TrainingPlan,
  estimate: TrainingEstimate,
  groups: Groups<typeof trainFields>,
): string[] {
  const { imagesPerSecond, images, seconds, memory, parameters, flops, steps } = estimate;
  const speed = Number(imagesPerSecond.toPrecision(imagesPerSecond < 100 ? 2 : 3));
  const parts = `weights and optimizer ${mebibytes(memory.state)}, images ${mebibytes(memory.images)}, activations ${mebibytes(memory.activations)} (drawing ${mebibytes(memory.drawing)})`;
  return [
    ...description,
    `size        ${withPrefix(parameters)} parameters, ${withPrefix(flops.forward)}FLOP per image forward, ${withPrefix(flops.step)}FLOP per training step`,
    `steps       ${steps} of ${options.batch} images`,
    `time        about ${speed} images/s here: ${formatDuration(seconds)} for ${Math.round(images)} images`,
    `memory      about ${mebibytes(memory.peak)}: ${parts}, and the program`,
    ...warningsOn(estimate, options, machineMemory()).map((warning) => `warning     ${warning}`),
    "options     (- where left to the network or to chance)",
    ...describedOptions(options, groups),
    `the same    ${commandFor(options)}`,
  ];
}

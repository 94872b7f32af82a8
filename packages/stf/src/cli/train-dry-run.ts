/** What `stf train --dry-run` prints. */

import { formatDuration } from "../common/text.js";
import { flagOf } from "../config/fields.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { type TrainOptions, trainFields } from "../config/train-options.js";
import { type TrainingEstimate, warningsOn } from "../jobs/estimate.js";
import { machineMemory } from "../jobs/memory.js";
import type { TrainingPlan } from "../jobs/training-plan.js";
import { type Architecture, defaultSizes, type NetworkSize } from "../networks/architectures.js";
import type { Constants } from "../preconditioning/constants.js";
import { preconditioningOf } from "../preconditioning/table.js";
import type { Groups } from "./options.js";
import { pasteable } from "./shell.js";

/** Headings of the help, with options. */
type TrainGroups = Groups<typeof trainFields>;

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(0)} MiB`;

/** A value as text that the command line reads. */
function written(value: unknown): string {
  if (Array.isArray(value)) return value.map(written).join(",");
  if (value === Number.MAX_VALUE) return "inf";
  return String(typeof value === "boolean" ? Number(value) : value);
}

/** The command that sets all options one by one: those that differ from the defaults. */
export function commandFor(options: ResolvedOptions): string {
  const entries = Object.entries(options).filter(([key, value]) => {
    const field = trainFields[key as keyof typeof trainFields];
    return JSON.stringify(value) !== JSON.stringify(field.default);
  });
  const words = entries.map(([key, value]) => `${flagOf(key)}=${written(value)}`);
  return pasteable("train", "--preset=published", ...words);
}

/** What the network decides where options do not. */
function ofNetwork(arch: Architecture, size: NetworkSize, constants: Constants): Partial<TrainOptions> {
  const finite = Object.entries(constants).filter(([key, value]) => key in trainFields && Number.isFinite(value));
  const { modelChannels, channelMult, numBlocks, attnResolutions } = size;
  const own = { ...Object.fromEntries(finite), cbase: modelChannels, numBlocks };
  if (arch === "mlp") return own;
  return { ...own, cres: channelMult, attn: attnResolutions.length > 0 ? attnResolutions : [0] };
}

/** Every option with its value, under the headings of the help. */
function describedOptions(options: TrainOptions, others: Partial<TrainOptions>, groups: TrainGroups): string[] {
  const textOf = (key: keyof TrainOptions): string => written(options[key] ?? others[key] ?? "-");
  return [
    "options     (-: not set)",
    ...Object.entries(groups).map(
      ([heading, keys]) => `            ${heading} ${keys.map((key) => `${flagOf(key)}=${textOf(key)}`).join(" ")}`,
    ),
  ];
}

/** The options that a preset and others set, of a training whose images are not known yet. */
export function describedSettings(options: TrainOptions, groups: TrainGroups): string[] {
  const others = ofNetwork(options.arch, defaultSizes[options.arch], preconditioningOf(options.precond).constants);
  return describedOptions(options, others, groups);
}

/** 1.23e9 as "1.23 G". */
function withPrefix(value: number): string {
  const prefixes = ["", "k", "M", "G", "T"];
  const power = Math.min(Math.max(Math.floor(Math.log10(value) / 3), 0), prefixes.length - 1);
  return `${Number((value / 1000 ** power).toPrecision(3))} ${prefixes[power]}`;
}

const formatImages = (images: number): string =>
  images < 1e6 ? `${Math.round(images)} images` : `${Number((images / 1e6).toPrecision(4))} million images`;

/** Preparation of fewer seconds is not worth mentioning. */
const SHOWN = 2;

/** The plan with its cost, line by line. */
export function describedEstimate(plan: TrainingPlan, estimate: TrainingEstimate, groups: TrainGroups): string[] {
  const { description, options } = plan;
  const { network, state } = plan;
  const { imagesPerSecond, images, seconds, preparation, memory, parameters, flops, steps } = estimate;
  const speed = Number(imagesPerSecond.toPrecision(imagesPerSecond < 100 ? 2 : 3));
  const parts = `weights and optimizer ${mebibytes(memory.state)}, images ${mebibytes(memory.images)}, activations ${mebibytes(memory.activations)} (drawing ${mebibytes(memory.drawing)})`;
  return [
    ...description,
    `size        ${withPrefix(parameters)} parameters, ${withPrefix(flops.forward)}FLOP per image forward, ${withPrefix(flops.step)}FLOP per training step`,
    `steps       ${steps} of ${options.batch} images`,
    `time        about ${speed} images/s here: ${formatDuration(seconds)} for ${formatImages(images)}${preparation >= SHOWN ? `, and once about ${formatDuration(preparation)} of preparation` : ""}`,
    `memory      about ${mebibytes(memory.peak)}: ${parts}, and the program`,
    ...warningsOn(estimate, options, machineMemory()).map((warning) => `warning     ${warning}`),
    ...describedOptions(options, ofNetwork(network.arch, network, state.network.preconditioning.constants), groups),
    `the same    ${commandFor(options)}`,
  ];
}

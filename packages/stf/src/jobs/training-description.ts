/** A planned training in words. */

import { engineReport } from "@stf/torch";
import type { Transferred } from "../checkpoints/foreign/transfer.js";
import { formatImageShape } from "../common/image-shape.js";
import { abbreviated, formatDuration, listed } from "../common/text.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { trainFields } from "../config/train-options.js";
import type { ImageBank } from "../data/image-bank.js";
import type { Denoiser } from "../networks/denoiser.js";
import { isPreconditioningName, preconditioningOf } from "../preconditioning/table.js";
import { powerWidths } from "../training/power-average.js";
import type { TrainingState } from "../training/state.js";
import type { Team } from "./team.js";

/** Number of classes shown; a run folder's options have all of them. */
const MOST_CLASSES = 20;

/** The number of each class. */
function describedClasses({ classNames }: ImageBank): string[] {
  if (!classNames) return [];
  const shown = classNames.slice(0, MOST_CLASSES).map((name, number) => `${number}: ${listed(name)}`);
  const rest = classNames.length > MOST_CLASSES ? ` and ${classNames.length - MOST_CLASSES} more` : "";
  return [`classes     ${shown.join(", ")}${rest}`];
}

/** How long a run is. A time limit with the default duration is all that the user asked for. */
function describedLength({ duration, timeLimit }: ResolvedOptions): string {
  const images = `${duration} million images`;
  if (timeLimit === null) return images;
  const limit = `at most ${formatDuration(60 * timeLimit)}`;
  return duration === trainFields.duration.default ? limit : `${images}, ${limit},`;
}

const inWords = (value: number): string => (value === Number.POSITIVE_INFINITY ? "none" : String(value));

/** The constants of the preconditioning that are not the published ones. */
function describedConstants({ preconditioning: { name, constants } }: Denoiser): string[] {
  if (!isPreconditioningName(name)) return [];
  const published = preconditioningOf(name).constants;
  const changed = Object.keys(constants).filter((key) => constants[key] !== published[key]);
  const parts = changed.map((key) => `'${key}=${constants[key]}' (published ${inWords(published[key] as number)})`);
  return parts.length > 0 ? [`constants   ${parts.join(", ")}`] : [];
}

function describedHeldOut({ heldOut, xflip }: ResolvedOptions, { count }: ImageBank): string {
  const from = typeof heldOut === "string" ? `from ${heldOut}` : `of the data, a share of ${heldOut}`;
  return `held out    ${count} images${xflip ? ", mirrored ones included," : ""} ${from}; they are not trained on`;
}

/** The processes that divide a training, as one of them sees them. */
export type TrainingTeam = Pick<Team, "size" | "local">;

/** How many there are, and what each has to do. */
function describedTeam({ batch }: ResolvedOptions, { size, local }: TrainingTeam): string {
  const where = local.size === size ? "on this machine" : `of which ${local.size} on this machine`;
  const least = Math.floor(batch / size);
  const share = batch % size === 0 ? `${least}` : `${least} or ${least + 1}`;
  return `processes   ${size} ${where}, each with ${share} images of a batch`;
}

/**
 * The training, line by line.
 *
 * @param team - the processes that divide it; undefined for a single one
 */
export function describedTraining(
  options: ResolvedOptions,
  bank: ImageBank,
  heldOut: ImageBank | undefined,
  { network, parameters, secondAverage }: TrainingState,
  team?: TrainingTeam,
): readonly string[] {
  const engine = engineReport();
  const ofClass = options.cond && options.stfRef === "class" ? " of its class" : "";
  const isAll = options.rbatch === "all" || options.rbatch === bank.count;
  const references = isAll
    ? `all ${ofClass ? "" : `${bank.count} `}references`
    : `${team && options.stfShard ? `${team.size} times ` : ""}${options.rbatch} references`;
  const classes = network.labelDim;
  const target = options.stf
    ? `stable target field, ${references}${ofClass} per sample`
    : "plain denoising score matching ('stf=1' trains on stable targets)";
  const augmentation =
    options.augment > 0
      ? `, augmentation ${options.augment}${options.stf ? ` (references ${options.stfAugment})` : ""}`
      : "";
  const device =
    parameters.values.device === "cpu"
      ? `${engine.cpuCapability}, ${engine.threads} ${engine.threads === 1 ? "thread" : "threads"}`
      : options.device;
  return [
    `data        ${bank.count} images${options.xflip ? ", mirrored ones included," : ""} of ${formatImageShape(bank.shape)} from ${options.data}`,
    ...(heldOut ? [describedHeldOut(options, heldOut)] : []),
    ...(options.cond ? describedClasses(bank) : []),
    `objective   ${options.precond}, ${target}${augmentation}`,
    ...describedConstants(network),
    `network     ${options.arch}, ${(network.parameterCount / 1e6).toFixed(2)} million parameters, ${options.precision}${classes > 0 ? `, ${classes} classes` : ""}`,
    `training    ${describedLength(options)} in batches of ${options.batch}, seed ${options.seed}`,
    ...(secondAverage
      ? [
          `averages    of widths ${powerWidths.drawn} (drawn) and ${powerWidths.other}; npx stf ema makes others afterwards`,
        ]
      : []),
    `engine      libtorch ${engine.version}, ${device}${team ? " in each process" : ""}`,
    ...(team ? [describedTeam(options, team)] : []),
  ];
}

/** Notes on transferred weights. */
export function describedTransfer({ copied, missing, unused }: Transferred, path: string): string[] {
  return [
    `transfer    ${copied.length} tensors from ${path}`,
    ...(missing.length > 0 ? [`            not in the file, newly initialised:  ${abbreviated(missing)}`] : []),
    ...(unused.length > 0 ? [`            not used here:  ${abbreviated(unused)}`] : []),
  ];
}

/** What to lower when a training runs out of memory. */
export function memoryAdvice({ batch, batchGpu, rbatch, recompute, stf }: ResolvedOptions): string {
  const parts = [
    `'batchGpu' (it is ${batchGpu ?? batch}; the gradient is still that of the whole batch)`,
    "the network's size ('cbase', 'cres', 'numBlocks')",
    ...(stf ? [`'rbatch' (it is ${rbatch})`] : []),
  ];
  return `lower ${parts.slice(0, -1).join(", ")} or ${parts.at(-1)}${recompute ? "" : ", or set 'recompute=1'"}`;
}

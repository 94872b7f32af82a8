/** The plan for a training request: its options, images and network, and everything known before the first step. */

import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { elementCount, engineReport, FileFormatError } from "@stf/torch";
import { networkForTransfer, type Transferred, transferWeights } from "../checkpoints/foreign/transfer.js";
import { loadState, type SavedState } from "../checkpoints/state-file.js";
import { InputError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatDuration } from "../common/text.js";
import { type Adjusted, fittedToData, withoutAttention } from "../config/adjustment.js";
import { withoutEffect } from "../config/contradictions.js";
import { checkValues } from "../config/fields.js";
import { changedOptions, type ResolvedOptions } from "../config/resolved-options.js";
import { type TrainOptions, trainFields } from "../config/train-options.js";
import { checkTrainRequest, statedOptions, type TrainRequest, trainingOptions } from "../config/train-request.js";
import {
  checkAgainstData,
  checkSameData,
  networkConfig,
  notesOnData,
  numberingOf,
  type SavedData,
} from "../config/training.js";
import { checkTransferShape, optionsForTransfer, sizesOf } from "../config/transfer.js";
import type { ImageBank } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import { withMirrorImages } from "../data/mirror.js";
import { openDataset } from "../data/open.js";
import type { NetworkConfig } from "../networks/build.js";
import { OPTIONS_FILE, stampedNames } from "../run/files.js";
import { findStates } from "../run/folder.js";
import { disposeState, initialState, type TrainingState } from "../training/state.js";
import { chooseOptions } from "./automatic.js";
import type { JobContext } from "./context.js";
import { checkDevice } from "./device.js";
import { withinMemory } from "./memory.js";

/** A request with all it needs, ready for the first step. */
export interface TrainingPlan {
  /** All options, as the run folder stores them. */
  readonly options: ResolvedOptions;
  /** The images, on the device that needs them. */
  readonly bank: ImageBank;
  /** {@link digestOfImages} of the bank. */
  readonly digest: string;
  /** The configuration of the network. */
  readonly network: NetworkConfig;
  /** The network, before its first step in this process. */
  readonly state: TrainingState;
  /** The training state that the run resumes from; undefined for a new run. */
  readonly resumed: string | undefined;
  /** Description of the training, line by line. */
  readonly description: readonly string[];
  /** Bytes of weights, gradients, moments and averages, independent of the batch. */
  readonly stateBytes: number;
}

/** The state to resume from, and the options saved with it. */
interface Saved {
  readonly path: string;
  readonly state: SavedState;
  readonly options: Partial<TrainOptions>;
  readonly data: SavedData;
  /** Notes on later states that cannot be used. */
  readonly notes: readonly string[];
}

/** @param run - the options in the run folder, if there are any */
function readState(path: string, run: Record<string, unknown> | undefined): Omit<Saved, "notes"> {
  const state = loadState(path);
  try {
    const { images, imagesDigest, classNames, ...given } = state.options;
    const options = checkValues(trainFields, given, path);
    checkOwnState(path, options, run);
    return { path, state, options, data: { images, imagesDigest, classNames } };
  } catch (error) {
    state[Symbol.dispose]();
    throw error;
  }
}

/** The architecture that a run folder's options name; undefined if they cannot be read, which is not a reason to stop. */
function optionsOfRun(folder: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, OPTIONS_FILE), "utf8")) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

/** @throws InputError when a state cannot belong to the run whose folder it is in */
function checkOwnState(path: string, options: Partial<TrainOptions>, run: Record<string, unknown> | undefined): void {
  const other = (["arch", "precond", "cbase", "cres", "numBlocks", "cond"] as const).find(
    (name) => run?.[name] !== undefined && JSON.stringify(run[name]) !== JSON.stringify(options[name] ?? null),
  );
  if (other) {
    throw new InputError(
      `${path} belongs to another run: its '${other}' is ${JSON.stringify(options[other])}, the run folder's ${JSON.stringify(run?.[other])}`,
    );
  }
}

/**
 * Reads the latest state that can be used.
 *
 * @throws the latest one's error, if none can be used
 */
function readSaved(resume: string): Saved {
  const notes: string[] = [];
  let first: unknown;
  const paths = findStates(resume);
  const run = optionsOfRun(dirname(paths[0] as string));
  for (const path of paths) {
    try {
      return { ...readState(path, run), notes };
    } catch (error) {
      if (!(error instanceof InputError || error instanceof FileFormatError)) throw error;
      first ??= error;
      notes.push(`note        ${error.message}; using an earlier state`);
    }
  }
  const [path = ""] = paths;
  const others = stampedNames(readdirSync(dirname(path)), "training-state").filter((name) => name !== basename(path));
  if (paths.length > 1 || others.length === 0 || !(first instanceof Error)) throw first;
  throw new InputError(`${first.message}; the same folder has ${abbreviated(others.reverse())}`, { cause: first });
}

function replaced(bank: ImageBank, change: (bank: ImageBank) => ImageBank): ImageBank {
  const changed = change(bank);
  bank.dispose();
  return changed;
}

/** Reads the data set, with progress if it takes long. Notes on it are added to `notes`. */
async function readImages(
  { data: path, xflip, cond }: ResolvedOptions,
  saved: SavedData | undefined,
  notes: string[],
  { reporter }: JobContext,
): Promise<ImageBank> {
  const images = await openDataset(path, {
    labels: cond,
    numbering: numberingOf(saved),
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  return xflip ? replaced(images, withMirrorImages) : images;
}

/** Number of classes shown; a run folder's options have all of them. */
const MOST_CLASSES = 20;

/** The number of each class. */
function describedClasses({ classNames }: ImageBank): string[] {
  if (!classNames) return [];
  const shown = classNames.slice(0, MOST_CLASSES).map((name, number) => `${number}: ${name}`);
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

function described(
  options: ResolvedOptions,
  bank: ImageBank,
  { network, parameters }: TrainingState,
): readonly string[] {
  const engine = engineReport();
  const ofClass = options.cond && options.stfRef === "class" ? " of its class" : "";
  const isAll = options.rbatch === "all" || options.rbatch === bank.count;
  const references = isAll ? `all ${ofClass ? "" : `${bank.count} `}references` : `${options.rbatch} references`;
  const classes = network.labelDim;
  const target = options.stf
    ? `stable target field, ${references}${ofClass} per sample`
    : "plain denoising score matching ('stf=1' trains on stable targets)";
  const augmentation =
    options.augment > 0
      ? `, augmentation ${options.augment}${options.stf ? ` (references ${options.stfAugment})` : ""}`
      : "";
  const device =
    parameters.values.device === "cpu" ? `${engine.cpuCapability}, ${engine.threads} threads` : options.device;
  return [
    `data        ${bank.count} images of ${formatImageShape(bank.shape)} from ${options.data}`,
    ...(options.cond ? describedClasses(bank) : []),
    `objective   ${options.precond}, ${target}${augmentation}`,
    `network     ${options.arch}, ${(network.parameterCount / 1e6).toFixed(2)} million parameters, ${options.precision}${classes > 0 ? `, ${classes} classes` : ""}`,
    `training    ${describedLength(options)} in batches of ${options.batch}, seed ${options.seed}`,
    `engine      libtorch ${engine.version}, ${device}`,
  ];
}

/** Notes on transferred weights. */
function describedTransfer({ copied, missing, unused }: Transferred, path: string): string[] {
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

/**
 * Reads the images, builds the network, and fills it with what the run starts from. The caller owns the bank and the state.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop while networks are measured.
 */
export async function planTraining(request: TrainRequest, context: JobContext): Promise<TrainingPlan> {
  checkTrainRequest(request);
  checkAlone("train", context.rank);
  const saved = request.resume === undefined ? undefined : readSaved(request.resume);
  using _state = saved?.state;
  const asked = trainingOptions(request, saved?.options);
  checkDevice(asked.device);
  const { transfer } = asked;
  const source = saved || transfer === null ? undefined : networkForTransfer(transfer, asked.precond);
  const options = source ? optionsForTransfer(asked, statedOptions(request), source) : asked;
  const notes: string[] = [];
  const images = await withinMemory(
    () => "none is left for the images, which are kept in memory as bytes",
    () => readImages(options, saved?.data, notes, context),
  ).catch((cause: unknown) => {
    if (!saved || request.data !== undefined || !(cause instanceof InputError)) throw cause;
    throw new InputError(`the images of the run cannot be read: ${cause.message}; set 'data' to their current path`, {
      cause,
    });
  });
  try {
    return await withinMemory(
      () => memoryAdvice(options),
      () => {
        const run = saved
          ? { options, notes: [] }
          : newRun({ ...request, ...(source && sizesOf(source)) }, options, images, source, context);
        return planWith(images, run, request, { saved, source, onData: notes });
      },
    );
  } catch (error) {
    images.dispose();
    throw error;
  }
}

/** Input of a plan besides the request. */
interface PlanSources {
  readonly saved: Saved | undefined;
  /** The network whose weights the run starts from. */
  readonly source: NetworkConfig | undefined;
  /** Notes on the images. */
  readonly onData: readonly string[];
}

/** The options of a new run, chosen for the images and adapted to them, with notes. */
function newRun(
  request: TrainRequest,
  base: ResolvedOptions,
  images: ImageBank,
  source: NetworkConfig | undefined,
  context: JobContext,
): Adjusted {
  const given = checkTrainRequest(request);
  // Impossible requests are rejected before anything is measured.
  const fitted = fittedToData(given, base, images.count);
  checkAgainstData(fitted.options, images);
  if ((request.preset ?? "auto") !== "auto") return { ...fitted, notes: fitted.notes.map(note) };
  const { options, reasons } = chooseOptions(
    request,
    base,
    images,
    (chosen, bank) => networkConfig(chosen, bank, source?.constants),
    context,
  );
  return { options, notes: reasons.map((text, i) => (i === 0 ? "chosen" : "").padEnd(12) + text) };
}

const note = (text: string): string => `note        ${text}`;

function planWith(
  images: ImageBank,
  { options, notes: chosen }: Adjusted,
  request: TrainRequest,
  { saved, source, onData }: PlanSources,
): TrainingPlan {
  const digest = digestOfImages(images);
  if (saved) checkSameData(saved.data, saved.state.config, images, digest);
  checkAgainstData(options, images);
  if (source) checkTransferShape(source, images);
  // A resumed run keeps its network, whatever today's defaults are.
  const network = saved?.state.config ?? networkConfig(options, images, source?.constants);
  const state = initialState(network, options.seed, options.precision, options.device);
  try {
    saved?.state.restore(state);
    const { transfer } = options;
    const transferred =
      saved || transfer === null
        ? []
        : describedTransfer(transferWeights(transfer, [state.network, state.averaged]), transfer);
    const { preset, resume, ...given } = request;
    const notes = [
      ...onData,
      ...notesOnData(options, images),
      ...withoutEffect(given, options),
      ...(saved ? [] : withoutAttention(given, network)),
    ].map(note);
    const changes = saved ? changedOptions(saved.options, options).map((text) => `changed     ${text}`) : [];
    return {
      options,
      bank: options.device === "cpu" ? images : replaced(images, (bank) => bank.to(options.device)),
      digest,
      network,
      state,
      resumed: saved?.path,
      description: [
        ...notes,
        ...chosen,
        ...described(options, images, state),
        ...transferred,
        ...(saved?.notes ?? []),
        ...changes,
      ],
      stateBytes: 5 * 4 * elementCount(state.parameters.values.shape),
    };
  } catch (error) {
    disposeState(state);
    throw error;
  }
}

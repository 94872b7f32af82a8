/** The plan for a training request: its options, images and network, and everything known before the first step. */

import { elementCount } from "@stf/torch";
import { networkForTransfer, transferWeights } from "../checkpoints/foreign/transfer.js";
import { InputError } from "../common/errors.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated } from "../common/text.js";
import { type Adjusted, fittedToData, withoutAttention } from "../config/adjustment.js";
import { withoutEffect } from "../config/contradictions.js";
import { statedConstants } from "../config/noise-options.js";
import { changedOptions, type ResolvedOptions } from "../config/resolved-options.js";
import { checkTrainRequest, statedOptions, type TrainRequest, trainingOptions } from "../config/train-request.js";
import {
  checkAgainstData,
  checkSameData,
  dividesImages,
  networkConfig,
  notesOnData,
  numberingOf,
} from "../config/training.js";
import { checkTransferShape, optionsForTransfer, sizesOf } from "../config/transfer.js";
import { DividedBank } from "../data/divided-bank.js";
import { type ImageBank, movedTo, replaced } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import type { Numbering } from "../data/labels.js";
import { withMirrorImages } from "../data/mirror.js";
import { openDataset } from "../data/open.js";
import type { NetworkConfig } from "../networks/build.js";
import type { Constants } from "../preconditioning/constants.js";
import { disposeState, initialState, type TrainingState } from "../training/state.js";
import { chooseOptions } from "./automatic.js";
import { cacheFolder } from "./cache-folder.js";
import { type JobContext, soloContext } from "./context.js";
import { checkDevice, deviceOf } from "./device.js";
import { type TrainingImages, withHeldOut } from "./held-out.js";
import { withinMemory } from "./memory.js";
import { checkSame, checkSameRequest } from "./same-work.js";
import { readSavedRun, runToResume, type SavedRun, seedOfEarlierStart } from "./saved-run.js";
import { type KnownImages, shareImages, type TrainingBank } from "./shared-images.js";
import { shareState } from "./shared-state.js";
import type { Team } from "./team.js";
import { describedTraining, describedTransfer, memoryAdvice } from "./training-description.js";

/** A request with all it needs, ready for the first step. */
export interface TrainingPlan {
  /** All options, as the run folder stores them. */
  readonly options: ResolvedOptions;
  /** The images, on the device that needs them; a part of them in each of several processes, if the options say so. */
  readonly bank: TrainingBank;
  /** Images that are not trained on, on the same device; undefined without any. */
  readonly heldOut: ImageBank | undefined;
  /** {@link digestOfImages} of the bank. */
  readonly digest: string;
  /** The configuration of the network. */
  readonly network: NetworkConfig;
  /** The network, before its first step in this process. */
  readonly state: TrainingState;
  /** The training state that the run resumes from; undefined for a new run. */
  readonly resumed: string | undefined;
  /** The latest state in the run folder, when it was chosen to resume from; undefined for a new run, null for a state that the request names. */
  readonly newest: string | undefined | null;
  /** The noise level below which the run has trained last, if it chose one; undefined for all. */
  readonly trainedBelow: number | undefined;
  /** Description of the training, line by line. */
  readonly description: readonly string[];
  /** Bytes of weights, gradients, moments and averages, independent of the batch. */
  readonly stateBytes: number;
}

/** Reads the data set, with progress if it takes long. Notes on it are added to `notes`. */
async function readImages(
  { data: path, cache, cond }: ResolvedOptions,
  { numbering, isResumed = false }: { readonly numbering: Numbering; readonly isResumed?: boolean },
  notes: string[],
  { reporter }: JobContext,
): Promise<ImageBank> {
  const images = await openDataset(path, {
    labels: cond,
    numbering,
    ...(cache && { cache: cacheFolder() }),
    onNote: (line) => void notes.push(line),
    onClassFolders: (folders) => {
      // A resumed run cannot change it.
      if (!isResumed)
        notes.push(
          `the images are in ${folders.length} folders (${abbreviated(folders)}): 'cond=1' trains a network that draws any of them by name`,
        );
    },
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  return images;
}

/** The parts of a data set that a training uses, mirrored if it says so. Disposes of the whole. */
async function dividedImages(
  whole: ImageBank,
  options: ResolvedOptions,
  notes: string[],
  context: JobContext,
): Promise<TrainingImages> {
  // Before they are mirrored: the mirror image of a held-out image is held out, too.
  const { images, heldOut } = await withHeldOut(whole, options, notes, context);
  if (!options.xflip) return { images, heldOut };
  return { images: replaced(images, withMirrorImages), heldOut: heldOut && replaced(heldOut, withMirrorImages) };
}

/** What a plain dictionary of tensors does not say. */
const dataConstant = ({ sigmaData }: ResolvedOptions): Constants | undefined =>
  sigmaData === null ? undefined : { sigmaData };

/** A request for a new run, with the seed of its own earlier start if it leaves the seed open. */
function withSeed(request: TrainRequest): TrainRequest {
  if (typeof statedOptions(request).seed === "number") return request;
  const seed = seedOfEarlierStart(request);
  return seed === undefined ? request : { ...request, seed };
}

/**
 * Reads the images, builds the network, and fills it with what the run starts from. The caller owns the bank and the state.
 * Of several processes the first decides, and the others do as it does.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop while networks are measured.
 */
export async function planTraining(request: TrainRequest, context: JobContext): Promise<TrainingPlan> {
  checkTrainRequest(request);
  const { team, rank } = context;
  if (!team) {
    checkAlone("train", rank);
    const plan = await planAlone(request, context);
    try {
      return await withinMemory(
        () => memoryAdvice(plan.options),
        () => placed(plan),
      );
    } catch (error) {
      disposePlan(plan);
      throw error;
    }
  }
  checkSameRequest(request, team, ["outdir"], ["data", "heldOut"]);
  const plan =
    team.rank > 0
      ? undefined
      : await team.alone("it prepares the training", () => planAlone(request, soloContext(context), team));
  const decided = team.gather<Decided | null>(plan ? decidedBy(plan) : null)[0] as Decided;
  const options = plan?.options ?? optionsAsDecided(decided, request, context);
  const { bank, digest } = await imagesOfAll(plan, { ...decided, options }, team, context);
  const all = { ...(plan ?? planAsDecided({ ...decided, options })), bank, digest };
  try {
    checkSame("images", digest, team);
    shareState(all.state, team);
    return await withinMemory(
      () => memoryAdvice(options),
      () => placed(all),
    );
  } catch (error) {
    disposePlan(all);
    throw error;
  }
}

/** The images of several processes: the first of each machine has them or reads them, and the others share its memory. */
async function imagesOfAll(
  plan: ReadPlan | undefined,
  { options, classNames }: Decided,
  team: Team,
  context: JobContext,
): Promise<KnownImages> {
  const read = (): Promise<KnownImages<ImageBank>> =>
    team.alone("it reads the images", async () => {
      const whole = await readImages(options, { numbering: classNames ?? "natural" }, [], context);
      const { images, heldOut } = await dividedImages(whole, options, [], context);
      // Only the first process measures.
      heldOut?.dispose();
      return { bank: images, digest: digestOfImages(images) };
    });
  const isDivided = dividesImages(options);
  const own = plan ?? (team.local.rank === 0 ? await read() : undefined);
  const shared = shareImages(own && { bank: own.bank, digest: own.digest }, team, { isDivided }, context);
  if (shared) return shared;
  const { bank, digest } = await read();
  return { bank: isDivided ? DividedBank.of(bank, team) : bank, digest };
}

/** A plan with the images on the device that needs them. */
function placed(plan: TrainingPlan): TrainingPlan {
  const { device } = plan.options;
  const { bank, heldOut } = plan;
  return {
    ...plan,
    bank: bank instanceof DividedBank ? bank.movedTo(device) : movedTo(bank, device),
    heldOut: heldOut && movedTo(heldOut, device),
  };
}

/** Frees the network and the images of a plan. */
export function disposePlan({ state, bank, heldOut }: TrainingPlan): void {
  disposeState(state);
  bank.dispose();
  heldOut?.dispose();
}

/** What the first of several processes decides for all. */
interface Decided extends Pick<TrainingPlan, "options" | "network" | "trainedBelow"> {
  /** In the order of their numbers, which a run may have from an earlier version. */
  readonly classNames?: readonly string[] | undefined;
}

const decidedBy = ({ options, network, trainedBelow, bank: { classNames } }: TrainingPlan): Decided => ({
  ...{ options, network, trainedBelow, classNames },
});

/** The options of a process that does as the first one has decided: its images and its device may be elsewhere. */
function optionsAsDecided(
  { options: first }: Decided,
  { data, heldOut }: TrainRequest,
  { rank }: JobContext,
): ResolvedOptions {
  const device = deviceOf(first.device, rank);
  checkDevice(device);
  return { ...first, data: data ?? first.data, heldOut: heldOut ?? first.heldOut, device };
}

/** The plan of such a process, but for the images. */
function planAsDecided({ options, network, trainedBelow }: Decided): Omit<TrainingPlan, "bank" | "digest"> {
  const state = initialState(network, options.seed, options.precision, options.device, { average: options.average });
  return {
    ...{ options, network, state, trainedBelow },
    ...{ heldOut: undefined, resumed: undefined, newest: undefined, description: [], stateBytes: 0 },
  };
}

/** A plan with all images, on the CPU. */
type ReadPlan = TrainingPlan & { readonly bank: ImageBank };

/** What the processes divide. */
function noteOnShards({ rbatch }: ResolvedOptions, team: Team | undefined): string {
  if (!team) return "'stfShard' has no effect in a single process, which has all references";
  return rbatch === "all"
    ? `'stfShard': each of ${team.size} processes holds its part of the images, and so errors are not measured on the way`
    : `'stfShard': ${team.size} processes have ${rbatch} references each per sample, ${team.size * rbatch} together`;
}

/** @param team - the processes for which this one plans */
async function planAlone(asRequested: TrainRequest, context: JobContext, team?: Team): Promise<ReadPlan> {
  const earlier = runToResume(asRequested);
  const request = earlier === undefined ? withSeed(asRequested) : asRequested;
  const saved = earlier === undefined ? undefined : readSavedRun(earlier);
  using _state = saved?.state;
  const asked = trainingOptions(request, saved?.options);
  checkDevice(asked.device);
  const { transfer } = asked;
  const source =
    saved || transfer === null ? undefined : networkForTransfer(transfer, asked.precond, dataConstant(asked));
  const options = source ? optionsForTransfer(asked, statedOptions(request), source) : asked;
  const notes: string[] = [];
  const noneForImages = (): string => "none is left for the images, which are kept in memory as bytes";
  const whole = await withinMemory(noneForImages, () =>
    readImages(options, { numbering: numberingOf(saved?.data), isResumed: saved !== undefined }, notes, context),
  ).catch((cause: unknown) => {
    if (!saved || request.data !== undefined || !(cause instanceof InputError)) throw cause;
    throw new InputError(`the images of the run cannot be read: ${cause.message}; set 'data' to their current path`, {
      cause,
    });
  });
  const parts = await withinMemory(noneForImages, () => dividedImages(whole, options, notes, context));
  const { images } = parts;
  try {
    return await withinMemory(
      () => memoryAdvice(options),
      () => {
        const run = saved
          ? { options, notes: [] }
          : newRun(
              { ...request, ...(source && { ...sizesOf(source), ...statedConstants(options) }) },
              options,
              images,
              source,
              context,
              team,
            );
        return planWith(parts, run, request, { saved, source, onData: notes, team });
      },
    );
  } catch (error) {
    images.dispose();
    parts.heldOut?.dispose();
    throw error;
  }
}

/** Input of a plan besides the request. */
interface PlanSources {
  readonly saved: SavedRun | undefined;
  /** The network whose weights the run starts from. */
  readonly source: NetworkConfig | undefined;
  /** Notes on the images. */
  readonly onData: readonly string[];
  /** The processes that divide the training; undefined for a single one. */
  readonly team: Team | undefined;
}

/** The options of a new run, chosen for the images and adapted to them, with notes. */
function newRun(
  request: TrainRequest,
  base: ResolvedOptions,
  images: ImageBank,
  source: NetworkConfig | undefined,
  context: JobContext,
  team: Team | undefined,
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
  const onSpeed =
    team && request.duration === undefined
      ? [
          `the speed is that of one process: ${team.size} see more images in this time; 'duration' states how many, in millions`,
        ]
      : [];
  return { options, notes: [...reasons, ...onSpeed].map((text, i) => (i === 0 ? "chosen" : "").padEnd(12) + text) };
}

const note = (text: string): string => `note        ${text}`;

function planWith(
  { images, heldOut }: TrainingImages,
  { options, notes: chosen }: Adjusted,
  request: TrainRequest,
  { saved, source, onData, team }: PlanSources,
): ReadPlan {
  const digest = digestOfImages(images);
  if (saved) checkSameData(saved.data, saved.state.config, images, digest);
  checkAgainstData(options, images);
  if (source) checkTransferShape(source, images);
  // A resumed run keeps its network, whatever today's defaults are.
  const network = saved?.state.config ?? networkConfig(options, images, source?.constants);
  const { seed, precision, device, average } = options;
  const state = initialState(network, seed, precision, device, { average });
  try {
    saved?.state.restore(state);
    // Somebody who sets the rate knows; a command that is only started again does not.
    const isRateNew = request.resume !== undefined || request.lr !== saved?.options.lr;
    if (request.lr !== undefined && isRateNew) state.stability.rate = 1;
    const { transfer } = options;
    const transferred =
      saved || transfer === null
        ? []
        : describedTransfer(transferWeights(transfer, [state.network, state.averaged]), transfer);
    const { preset, resume, ...given } = request;
    const notes = [
      ...onData,
      ...(options.stf && options.stfShard ? [noteOnShards(options, team)] : []),
      ...notesOnData(options, images),
      ...withoutEffect(given, options),
      ...(saved ? [] : withoutAttention(given, network)),
    ].map(note);
    const changes = saved ? changedOptions(saved.options, options).map((text) => `changed     ${text}`) : [];
    return {
      options,
      bank: images,
      heldOut,
      digest,
      network,
      state,
      resumed: saved?.path,
      newest: saved && (saved.newest ?? null),
      trainedBelow: saved?.trainedBelow,
      description: [
        ...notes,
        ...chosen,
        ...describedTraining(options, images, heldOut, state, team),
        ...transferred,
        ...(saved?.notes ?? []),
        ...changes,
      ],
      stateBytes: (state.secondAverage ? 6 : 5) * 4 * elementCount(state.parameters.values.shape),
    };
  } catch (error) {
    disposeState(state);
    throw error;
  }
}

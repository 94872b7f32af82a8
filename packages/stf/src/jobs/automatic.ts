/** The preset "auto": measures what the choice depends on, then makes it. */

import { type AutomaticFacts, automaticOptions, networkCandidates, nextToMeasure } from "../config/automatic.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { checkTrainRequest, type TrainRequest, trainingOptions } from "../config/train-request.js";
import { trainingData, trainingSettings } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import type { NetworkConfig } from "../networks/build.js";
import { disposeState, initialState } from "../training/state.js";
import type { JobContext } from "./context.js";
import { measureSpeed } from "./measure.js";
import { machineMemory } from "./memory.js";

/** The choice for a run. */
export interface AutomaticRun {
  /** All options. */
  readonly options: ResolvedOptions;
  /** The choice and the reasons, line by line. */
  readonly reasons: readonly string[];
}

/** Bytes for activations: a quarter of the memory of the machine or container; on a GPU, as much as small ones have. */
function memoryFor({ device }: ResolvedOptions): number {
  return device === "cpu" ? machineMemory() / 4 : 8 * 2 ** 30;
}

/** The objects built from options and images. */
export type NetworkOf = (options: ResolvedOptions, images: ImageBank) => NetworkConfig;

/**
 * Chooses the options that a request leaves open, and measures networks if time is the limit.
 *
 * @param base - the request's options before anything is chosen
 * @throws UsageError for a network that does not fit the images; Stopped when the job is to stop
 */
export function chooseOptions(
  request: TrainRequest,
  base: ResolvedOptions,
  images: ImageBank,
  networkOf: NetworkOf,
  context: JobContext,
): AutomaticRun {
  const given = checkTrainRequest(request);
  const facts: AutomaticFacts = { images: images.count, shape: images.shape, memory: memoryFor(base) };
  const candidates = networkCandidates(given, images.shape);
  const guess = { ...automaticOptions(given, facts, []).options, batch: images.count };
  const speeds: number[] = [];
  const bank = base.device === "cpu" ? images : images.to(base.device);
  try {
    for (
      let next = nextToMeasure(given, facts, speeds);
      next !== undefined;
      next = nextToMeasure(given, facts, speeds)
    ) {
      context.reporter.update(`measuring network ${next + 1} of at most ${candidates.length}`);
      const options = trainingOptions(request, undefined, { ...guess, ...candidates[next]?.size });
      speeds.push(speedOf(options, networkOf(options, bank), bank, context));
    }
  } finally {
    context.reporter.clear();
    if (bank !== images) bank.dispose();
  }
  const { options, reasons } = automaticOptions(given, facts, speeds);
  return { options: trainingOptions(request, undefined, options), reasons };
}

function speedOf(options: ResolvedOptions, network: NetworkConfig, bank: ImageBank, context: JobContext): number {
  const state = initialState(network, options.seed, options.precision, options.device);
  try {
    return measureSpeed(state, trainingData(bank, options), trainingSettings(options), context);
  } finally {
    disposeState(state);
  }
}

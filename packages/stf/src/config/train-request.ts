/** A request to train: the options of `stf train`, and where to begin. */

import { UsageError } from "../common/errors.js";
import { checkValues } from "./fields.js";
import { newRunOptions, type ResolvedOptions, resumedOptions } from "./resolved-options.js";
import { type PresetName, presets, type TrainOptions, trainFields } from "./train-options.js";

/** What to train: the options of `stf train`, by their names in programs. What is left out is as the preset says. */
export interface TrainRequest extends Partial<TrainOptions> {
  /** Settings that belong together; the other options change them. "auto" when left out. */
  readonly preset?: PresetName | undefined;
  /** A training state, or a run folder for the latest in it, to go on from. */
  readonly resume?: string | undefined;
}

/** Checks what needs nothing but the request, so that a mistake is answered at once. @throws UsageError as {@link trainingOptions} */
export function checkTrainRequest({ preset, resume, ...rest }: TrainRequest): Partial<TrainOptions> {
  const given = checkValues(trainFields, rest, "the request");
  if (resume === undefined) return given;
  if (preset !== undefined) {
    throw new UsageError("'resume' and 'preset' exclude each other: a resumed run keeps its options");
  }
  if (given.transfer) {
    throw new UsageError("'resume' and 'transfer' exclude each other: a resumed run has weights already");
  }
  return given;
}

/** What a request says, by itself or by its preset. */
export function statedOptions({ preset, resume, ...given }: TrainRequest): Partial<TrainOptions> {
  return { ...(preset && presets[preset].options), ...given };
}

/**
 * The options of a request with nothing left open.
 *
 * @param saved - those of the run that goes on; undefined for a new one
 * @param chosen - what was chosen for a new run with the preset "auto"
 * @throws UsageError for options that do not exist, are out of their range, exclude each other, or that a resumed run keeps.
 */
export function trainingOptions(
  request: TrainRequest,
  saved: Partial<TrainOptions> | undefined,
  chosen: Partial<TrainOptions> = {},
): ResolvedOptions {
  const given = checkTrainRequest(request);
  return saved ? resumedOptions(given, saved) : newRunOptions(given, request.preset, chosen);
}

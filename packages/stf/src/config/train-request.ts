/** A request to train: the options of `stf train`, and where to start. */

import { UsageError } from "../common/errors.js";
import { checkValues } from "./fields.js";
import { continuedOptions, newRunOptions, type ResolvedOptions, resumedOptions } from "./resolved-options.js";
import { type PresetName, presets, type TrainOptions, trainFields } from "./train-options.js";

/** As a run to resume: the latest one. */
export const LATEST = "latest";

/** What to train: the options of `stf train`, by their names in programs. Anything left out takes the preset's value. */
export interface TrainRequest extends Partial<TrainOptions> {
  /** Settings that belong together; the other options change them. "auto" when left out. */
  readonly preset?: PresetName | undefined;
  /** A training state to resume from, a run folder for its latest one, or "latest" for the latest run in 'outdir'. */
  readonly resume?: string | undefined;
}

/** Checks what needs only the request, so that a mistake is reported at once. @throws UsageError as {@link trainingOptions} */
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

/** The options that a request sets, directly or through its preset. */
export function statedOptions({ preset, resume, ...given }: TrainRequest): Partial<TrainOptions> {
  return { ...(preset && presets[preset].options), ...given };
}

/**
 * The options of a request, all resolved.
 *
 * @param saved - those of the run that is resumed, or continued by the same request; undefined for a new one
 * @param chosen - the choice for a new run with the preset "auto"
 * @throws UsageError for options that do not exist, are out of range, exclude each other, or cannot change in a resumed run.
 */
export function trainingOptions(
  request: TrainRequest,
  saved: Partial<TrainOptions> | undefined,
  chosen: Partial<TrainOptions> = {},
): ResolvedOptions {
  const given = checkTrainRequest(request);
  if (!saved) return newRunOptions(given, request.preset, chosen);
  if (request.resume === undefined) {
    const { features } = presets[request.preset ?? "auto"];
    return continuedOptions(given, statedOptions(request), saved, features);
  }
  // With "latest", the folder says which run.
  const { outdir, ...others } = given;
  return resumedOptions(request.resume === LATEST ? others : given, saved);
}

/** The training state that a run resumes from. */

import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { FileFormatError } from "@stf/torch";
import { loadState, type SavedState } from "../checkpoints/state-file.js";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { checkValues } from "../config/fields.js";
import { type TrainOptions, trainFields } from "../config/train-options.js";
import { LATEST, type TrainRequest } from "../config/train-request.js";
import type { SavedData } from "../config/training.js";
import { OPTIONS_FILE, stampedNames } from "../run/files.js";
import { findStates, isResumable, latestRun } from "../run/folder.js";

/** The state to resume from, and the options saved with it. */
export interface SavedRun {
  readonly path: string;
  /** The latest state of the run, of which `path` is the latest that can be used; undefined for a state that the request names. */
  readonly newest: string | undefined;
  readonly state: SavedState;
  readonly options: Partial<TrainOptions>;
  readonly data: SavedData;
  /** The noise level below which it trained; undefined for all. */
  readonly trainedBelow: number | undefined;
  /** Notes on later states that cannot be used. */
  readonly notes: readonly string[];
}

/** The run folder or training state that a request goes on from: the one that it names, or that of its own earlier start. */
export function runToResume({ resume, outdir = trainFields.outdir.default, name }: TrainRequest): string | undefined {
  if (resume === LATEST) return latestRun(outdir);
  if (resume !== undefined || !name) return resume;
  const folder = join(outdir, name);
  return isResumable(folder) ? folder : undefined;
}

/** The seed of an earlier start of the same request, which ended before its first training state; undefined if there was none. */
export function seedOfEarlierStart({ outdir = trainFields.outdir.default, name }: TrainRequest): number | undefined {
  const seed = name ? optionsOfRun(join(outdir, name))?.["seed"] : undefined;
  return Number.isSafeInteger(seed) && (seed as number) >= 0 ? (seed as number) : undefined;
}

/** @param run - the options in the run folder, if there are any */
function readState(path: string, run: Record<string, unknown> | undefined): Omit<SavedRun, "notes" | "newest"> {
  const state = loadState(path);
  try {
    const { images, imagesDigest, classNames, trainedBelow: _below, ...given } = state.options;
    const options = checkValues(trainFields, given, path);
    checkOwnState(path, options, run);
    return {
      ...{ path, state, options, data: { images, imagesDigest, classNames } },
      trainedBelow: storedLimit(state.options),
    };
  } catch (error) {
    state[Symbol.dispose]();
    throw error;
  }
}

/** The noise level below which a run trained last, by what its state stores. */
export function storedLimit({ trainedBelow }: Readonly<Record<string, unknown>>): number | undefined {
  return typeof trainedBelow === "number" && trainedBelow > 0 ? trainedBelow : undefined;
}

/** The options in a run folder; undefined if they cannot be read, which is not a reason to stop. */
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
export function readSavedRun(resume: string): SavedRun {
  const notes: string[] = [];
  let first: unknown;
  const paths = findStates(resume);
  const run = optionsOfRun(dirname(paths[0] as string));
  const newest = paths[0] === resume ? undefined : paths[0];
  for (const path of paths) {
    try {
      return { ...readState(path, run), newest, notes };
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

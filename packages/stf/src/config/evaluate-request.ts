/** A request to evaluate images or networks: the options of `stf evaluate`, checked together. */

import { resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { isUrl } from "../common/text.js";
import { drawingKeys, type EvaluateCommandOptions, evaluateFields } from "./evaluate-options.js";
import { checkValues, resolve } from "./fields.js";
import { drawingOptions, type GenerateRequest, type ResolvedGenerate } from "./generate-request.js";

/** What to evaluate: the options of `stf evaluate`, by their names in programs. Anything left out takes its default. */
export type EvaluateRequest = Partial<EvaluateCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedEvaluate extends EvaluateCommandOptions {
  readonly ref: string;
  /** What to draw from a network. */
  drawing(network: string): ResolvedGenerate;
}

/** @throws UsageError for an address: files are never downloaded. */
export function checkLocal(name: string, path: string | null): void {
  if (path !== null && isUrl(path)) {
    throw new UsageError(`'${name}' must be a file or folder of this machine, found ${path}; download it first`);
  }
}

/**
 * @param written - files that will be written, by the options that name them
 * @param read - files that are read, by the options that name them
 * @throws UsageError when one would take the place of another
 */
export function checkDistinct(
  written: Readonly<Record<string, string | null>>,
  read: Readonly<Record<string, string | readonly string[] | null>>,
): void {
  const taken = new Map<string, string>();
  const take = (path: string, name: string): void => void taken.set(resolvePath(path), name);
  for (const [name, paths] of Object.entries(read)) for (const path of [paths ?? []].flat()) take(path, name);
  for (const [name, path] of Object.entries(written)) {
    if (path === null) continue;
    const other = taken.get(resolvePath(path));
    if (other !== undefined) throw new UsageError(`'${name}' must differ from '${other}', found ${path} for both`);
    take(path, name);
  }
}

/**
 * The options of a request, checked. Needs only the request, so that a mistake is reported at once.
 *
 * @param processes - number of processes that divide the work and share it through files; 1 for connected ones
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function evaluateOptions(request: EvaluateRequest, processes = 1): ResolvedEvaluate {
  const given = checkValues(evaluateFields, request, "the request");
  const options = resolve(evaluateFields, given);
  const { network, images, ref, metrics, features, pairs, num, seed, dest } = options;
  if (network === null && images === null) {
    throw new UsageError("'network' or 'images' must say what to evaluate: network snapshots, or folders of images");
  }
  if (ref === null) {
    throw new UsageError("'ref' must name the reference: the training images, or statistics of their features (*.npz)");
  }
  checkLocal("ref", ref);
  checkLocal("features", features);
  const isFromDisk = network === null;
  const idle = drawingKeys.find((key) => !["batch", "device"].includes(key) && given[key] !== undefined);
  if (isFromDisk && idle !== undefined) {
    throw new UsageError(`'${idle}' has no effect on 'images', which are drawn already; leave it out`);
  }
  const needing = metrics?.find((name) => needsFeatures(name));
  if (features === null && needing !== undefined) {
    throw new UsageError(`'metrics=${needing}' needs a feature network: name its file in 'features'`);
  }
  if (pairs !== null && metrics !== null && !metrics.includes("copies")) {
    throw new UsageError("'pairs' needs 'metrics=copies'");
  }
  checkDistinct({ dest, pairs }, { network, images, ref, features });
  if (processes > 1 && dest === null) {
    throw new UsageError("several processes need a 'dest', beside which they share what they computed");
  }
  if (seed + num > 2 ** 32) throw new UsageError(`'seed' + 'num' must be at most ${2 ** 32}, found ${seed + num}`);
  const own = Object.fromEntries(drawingKeys.flatMap((key) => (given[key] === undefined ? [] : [[key, given[key]]])));
  const seeds = Array.from({ length: num }, (_, i) => seed + i);
  const drawing = (path: string): ResolvedGenerate =>
    drawingOptions({ ...(own as GenerateRequest), network: path, seeds });
  if (network !== null) drawing(network[0] as string);
  return { ...options, ref, drawing };
}

const withoutFeatures = ["wavelet", "mean", "contrast", "copies"];

/** Whether a metric compares features; the others compare pixels. */
export const needsFeatures = (metric: string): boolean => !withoutFeatures.includes(metric);

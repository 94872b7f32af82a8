/** Defaults adapted to a data set, and notes on options that cannot have their full effect on it. */

import type { NetworkConfig } from "../networks/build.js";
import type { ResolvedOptions } from "./resolved-options.js";
import type { TrainOptions } from "./train-options.js";

/** Options, and a line for each that differs from the preset or the default. */
export interface Adjusted {
  readonly options: ResolvedOptions;
  readonly notes: readonly string[];
}

/**
 * A batch and a number of references that a small data set can fill. Given values stay, for `checkAgainstData` to refuse.
 *
 * @param count - images in the data set
 */
export function fittedToData(given: Partial<TrainOptions>, options: ResolvedOptions, count: number): Adjusted {
  const { batch, rbatch, stf } = options;
  const isBatchOpen = given.batch === undefined && batch > count;
  const areReferencesOpen = given.rbatch === undefined && stf && rbatch !== "all" && rbatch > count;
  return {
    options: {
      ...options,
      ...(isBatchOpen && { batch: count }),
      ...(areReferencesOpen && { rbatch: count }),
    },
    notes: [
      ...(isBatchOpen ? [`batches of ${count}, the whole data set, instead of ${batch}`] : []),
      ...(areReferencesOpen ? [`${count} references, the whole data set, instead of ${rbatch}`] : []),
    ],
  };
}

/** A line when attention was requested at resolutions that the network does not have. */
export function withoutAttention(
  given: Partial<TrainOptions>,
  { arch, shape, channelMult, attnResolutions }: NetworkConfig,
): string[] {
  if (arch === "mlp") return [];
  const resolutions = channelMult.map((_, level) => shape.height >> level);
  const wanted = attnResolutions.filter((resolution) => resolution > 0);
  const missing = wanted.filter((resolution) => !resolutions.includes(resolution));
  // A default that matches one resolution has served its purpose.
  const isSaid = given.attn ? missing.length > 0 : missing.length === wanted.length;
  const [first] = missing;
  if (first === undefined || !isSaid) return [];
  const distance = (resolution: number): number => Math.abs(Math.log(resolution / first));
  const nearest = resolutions.reduce((best, next) => (distance(next) <= distance(best) ? next : best));
  return [
    `no attention at ${missing.join(", ")}: the network's resolutions are ${resolutions.join(", ")}; 'attn=${nearest}' is the nearest`,
  ];
}

/** A request for an analytic denoiser: the options of `stf analytic`, checked together. */

import { UsageError } from "../common/errors.js";
import { type AnalyticCommandOptions, analyticFields } from "./analytic-options.js";
import { checkValues, resolve } from "./fields.js";
import { snapshotDest } from "./snapshot-dest.js";

/** What to fit: the options of `stf analytic`, by their names in programs. Anything left out takes its default. */
export type AnalyticRequest = Partial<AnalyticCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedAnalytic extends AnalyticCommandOptions {
  readonly network: string;
  readonly data: string;
  readonly dest: string;
}

/** @throws UsageError when an option is missing or out of range, or the file cannot be written to `dest` */
export function analyticOptions(request: AnalyticRequest): ResolvedAnalytic {
  const options = resolve(analyticFields, checkValues(analyticFields, request, "the request"));
  const { network, data } = options;
  if (network === null) throw new UsageError("'network' must name a network snapshot (network-snapshot-*.safetensors)");
  if (data === null) throw new UsageError("'data' must name the images that the network was trained on");
  const dest = snapshotDest(options.dest, { path: network, name: "'network'" });
  return { ...options, network, data, dest };
}

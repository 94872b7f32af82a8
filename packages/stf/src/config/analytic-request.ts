/** A request for an analytic denoiser: the options of `stf analytic`, checked together. */

import { existsSync, statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import { UsageError } from "../common/errors.js";
import { type AnalyticCommandOptions, analyticFields } from "./analytic-options.js";
import { checkValues, resolve } from "./fields.js";

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
  const { network, data, dest } = options;
  if (network === null) throw new UsageError("'network' must name a network snapshot (network-snapshot-*.safetensors)");
  if (data === null) throw new UsageError("'data' must name the images that the network was trained on");
  if (dest === null)
    throw new UsageError("'dest' must name the network snapshot to write, such as network.safetensors");
  if (resolvePath(dest) === resolvePath(network)) throw new UsageError("'dest' must differ from 'network'");
  if (existsSync(dest) && !statSync(dest).isFile())
    throw new UsageError(`'dest' must name a file; ${dest} is a folder`);
  if (!/\.safetensors$/i.test(dest)) {
    throw new UsageError(`'dest' must name a *.safetensors file, the format that is written, found ${dest}`);
  }
  return { ...options, network, data, dest };
}

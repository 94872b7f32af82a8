/** A request for likelihoods: the options of `stf likelihood`, checked together. */

import { UsageError } from "../common/errors.js";
import { processes } from "../processes/by-name.js";
import { checkValues, resolve } from "./fields.js";
import { type LikelihoodCommandOptions, likelihoodFields } from "./likelihood-options.js";

/** What to compute: the options of `stf likelihood`, by their names in programs. Anything left out takes its default. */
export type LikelihoodRequest = Partial<LikelihoodCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedLikelihood extends LikelihoodCommandOptions {
  readonly network: string;
  readonly data: string;
}

/**
 * The options of a request, checked. Needs only the request, so that a mistake is reported at once.
 *
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function likelihoodOptions(request: LikelihoodRequest): ResolvedLikelihood {
  const given = checkValues(likelihoodFields, request, "the request");
  const options = resolve(likelihoodFields, given);
  const { network, data, process, sigma_min: sigmaMin, sigma_max: sigmaMax } = options;
  if (network === null) throw new UsageError("'network' must name a network snapshot (network-snapshot-*.safetensors)");
  if (data === null) throw new UsageError("'data' must name images, such as a folder of PNG files");
  if (sigmaMin >= sigmaMax) {
    throw new UsageError(`'sigma_min' must be below 'sigma_max', found ${sigmaMin} and ${sigmaMax}`);
  }
  if (!processes[process].takesRange && (given.sigma_min !== undefined || given.sigma_max !== undefined)) {
    throw new UsageError(
      `'process=${process}' has noise levels of its own; leave out 'sigma_min' and 'sigma_max', or choose another 'process'`,
    );
  }
  return { ...options, network, data };
}

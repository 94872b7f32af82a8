/** A request for an analysis: the options of `stf analyze`, checked together. */

import { UsageError } from "../common/errors.js";
import type { ReferenceCount } from "../run/variance-report.js";
import { type AnalyzeCommandOptions, analyzeFields, mixtureNames } from "./analyze-options.js";
import { checkValues, resolve } from "./fields.js";

/** What to analyse: the options of `stf analyze`, by their names in programs. Anything left out takes its default. */
export type AnalyzeRequest = Partial<AnalyzeCommandOptions>;

/** A request with all options resolved. */
export interface ResolvedAnalyze extends AnalyzeCommandOptions {
  /** Ascending, each once, from 1 on; "all" last. */
  readonly references: readonly ReferenceCount[];
}

/** Options that say something about images only. */
const ofImages = ["cond", "xflip", "cache", "network", "heldOut"] as const;

function ascending(counts: readonly ReferenceCount[]): ReferenceCount[] {
  const rank = (count: ReferenceCount): number => (count === "all" ? Number.POSITIVE_INFINITY : count);
  return [...new Set<ReferenceCount>([1, ...counts])].sort((a, b) => rank(a) - rank(b));
}

/**
 * The options of a request, checked. Needs only the request, so that a mistake is reported at once.
 *
 * @throws UsageError when an option is missing, out of range, or contradicts another
 */
export function analyzeOptions(request: AnalyzeRequest): ResolvedAnalyze {
  const given = checkValues(analyzeFields, request, "the request");
  const options = resolve(analyzeFields, given);
  const { data, mixture, sigmaMin, sigmaMax, network, heldOut, references } = options;
  if (data === null && mixture === null) {
    throw new UsageError("'data' must name images, such as a folder of PNG files, or 'mixture' a distribution");
  }
  if (data !== null && mixture !== null) {
    throw new UsageError("'data' and 'mixture' exclude each other; give the one to analyse");
  }
  if (mixture !== null) {
    const own = (["dimension", "deviation"] as const).find((name) => given[name] !== undefined);
    if (own !== undefined && mixture.endsWith(".json")) {
      throw new UsageError(`'${own}' is for mixtures by name, ${mixtureNames.join(" and ")}; ${mixture} has its own`);
    }
    const idle = ofImages.find((name) => given[name] !== undefined);
    if (idle !== undefined) throw new UsageError(`'${idle}' has no effect on a 'mixture'; leave it out`);
    if (given.references?.includes("all")) {
      throw new UsageError("'references' of a 'mixture' must be numbers: it has no last point, so there is no \"all\"");
    }
  } else {
    const own = (["dimension", "deviation"] as const).find((name) => given[name] !== undefined);
    if (own !== undefined) throw new UsageError(`'${own}' is that of a 'mixture'; images have their own`);
  }
  const idle = (["networkNum", "heldOut"] as const).find((name) => network === null && given[name] !== undefined);
  if (idle !== undefined) throw new UsageError(`'${idle}' needs a 'network'; add one, or leave it out`);
  if (heldOut !== null && heldOut === data) {
    throw new UsageError(
      "'heldOut' must differ from 'data': errors on the images of the training say little about others",
    );
  }
  if (sigmaMin !== null && sigmaMax !== null && sigmaMin >= sigmaMax) {
    throw new UsageError(`'sigmaMin' must be below 'sigmaMax', found ${sigmaMin} and ${sigmaMax}`);
  }
  const counts = ascending(references).filter((count) => mixture === null || count !== "all");
  return { ...options, references: counts };
}

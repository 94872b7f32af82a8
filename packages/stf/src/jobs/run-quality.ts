/** One number of quality at the end of a short run, cheap enough to be computed unasked. */

import type { Evaluation } from "../run/evaluation.js";
import type { JobContext } from "./context.js";
import { evaluate } from "./evaluate.js";

/** Seconds on two cores for images of 28x28: a few. */
const QUICK = { num: 500, refNum: 10_000, sampler: "dpm++2m", steps: 10, batch: 100 } as const;

/**
 * The Fréchet and the sliced Wasserstein distance of a snapshot's images to its data.
 *
 * @param features - features that suit the data
 * @returns undefined when stopped
 */
export async function runQuality(
  { snapshot, data, features }: { readonly snapshot: string; readonly data: string; readonly features: string },
  context: JobContext,
): Promise<Evaluation | undefined> {
  const request = { network: [snapshot], ref: data, features, metrics: ["frechet", "slicedWasserstein"] as const };
  const { evaluations } = await evaluate({ ...QUICK, ...request }, context);
  return evaluations[0];
}

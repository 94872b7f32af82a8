/** What numbers of quality during a training cost, said before its first step. */

import type { ResolvedOptions } from "../config/resolved-options.js";
import { loopOptions } from "../config/training.js";
import { PASSES_PER_STEP } from "../networks/flops.js";
import { metricLabel } from "../run/evaluation.js";
import type { JobContext } from "./context.js";
import { about } from "./evaluation-cost.js";
import { TrainingMetrics } from "./training-metrics.js";
import type { TrainingPlan } from "./training-plan.js";

/** Images between measurements. */
const intervalOf = ({ tick, snap, metricsEvery }: ResolvedOptions): number => 1000 * tick * snap * metricsEvery;

/**
 * What the numbers cost, in lines for the start of a training.
 *
 * @param images - those trained on so far
 */
export function describeMetrics(
  { requests, cost, network }: TrainingMetrics,
  options: ResolvedOptions,
  images: number,
): string[] {
  const { totalImages, timeLimit } = loopOptions(options);
  const perImage = PASSES_PER_STEP * cost.evaluation;
  const left = Math.min(totalImages - images, timeLimit / perImage);
  const times = Math.ceil(left / intervalOf(options));
  const spent = times * cost.each + cost.once;
  const share = (100 * spent) / (spent + left * perImage);
  const { metricsEvery: every } = options;
  const when = times <= 1 ? "" : every === 1 ? "at every snapshot and " : `at one snapshot in ${every} and `;
  const names = requests.flatMap(({ names: own, count }) =>
    own.map((name) =>
      metricLabel(name, { subject: {}, method: { images: { count }, features: { name: network?.name ?? null } } }),
    ),
  );
  const once = cost.once >= 1 ? `, once ${about(cost.once)} for the training images` : "";
  const biased = requests.find(({ count, names: own }) => own.includes("frechet") && count < (network?.dimension ?? 0));
  return [
    `metrics     ${names.join(", ")} ${when}at the end: ${about(cost.each)} each${once}; about ${share < 1 ? "1" : share.toFixed(0)} % of the time`,
    ...(times <= 1
      ? [`note        no snapshot is due before the end: 'snap', the number of ticks between them, is ${options.snap}`]
      : []),
    ...(biased
      ? [
          `note        ${biased.count} images are fewer than the ${network?.dimension} features: a Fréchet distance of so few is mostly bias; the kernel distance has none`,
        ]
      : []),
  ];
}

/**
 * The same for a training that is planned only.
 *
 * @throws as {@link TrainingMetrics.open}
 */
export async function estimateMetrics(plan: TrainingPlan, context: JobContext): Promise<string[]> {
  using metrics = await TrainingMetrics.open(plan, context);
  return metrics ? describeMetrics(metrics, plan.options, plan.state.images) : [];
}

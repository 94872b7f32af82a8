/** Weighted means over parts of the references, and how they are combined: over chunks, and over processes. */

import { scope, type Tensor, zeros } from "@stf/torch";
import type { PartialMean } from "./target.js";

/** Processes that have a part of the references each. */
export interface ReferenceRanks {
  readonly rank: number;
  readonly size: number;
  /** Replaces a tensor by its sum over the processes. */
  sum(values: Tensor): void;
}

/** The mean times its share of a total weight. Overwrites the mean. */
const shareOf = ({ mean, logWeight }: PartialMean, total: Tensor): Tensor =>
  mean.mul_(logWeight.sub(total).exp_().to({ dtype: mean.dtype }));

/** Combines two parts. Overwrites the means. */
export function merge(left: PartialMean, right: PartialMean): PartialMean {
  const logWeight = left.logWeight.logaddexp(right.logWeight);
  return { mean: shareOf(left, logWeight).add_(shareOf(right, logWeight)), logWeight };
}

/** Combines the parts of all processes, for the same samples in the same order. Overwrites the mean. One has a reference at least. */
export function mergedOverRanks(part: PartialMean, ranks: ReferenceRanks): Tensor {
  return scope(() => {
    const { logWeight } = part;
    const samples = logWeight.size(0);
    const all = zeros([ranks.size, samples], { dtype: "float64", device: logWeight.device });
    all.select(0, ranks.rank).copy_(logWeight.view([samples]));
    ranks.sum(all);
    const mean = shareOf(part, all.logsumexp([0]).view([samples, 1]));
    ranks.sum(mean);
    return mean;
  });
}

/** Moments of a data set from which suitable noise levels follow. */

import { noGrad, scope, tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";

/** Moments of the values of a data set, as the network sees them. */
export interface DataMoments {
  /** Standard deviation of all values about their common mean: sigma_data of Karras et al. (2022), who assume 0.5. */
  readonly sigmaData: number;
  /** ||E y||² */
  readonly meanSquare: number;
  /** Sum of the squared eigenvalues of the covariance. */
  readonly eigenvalueSquares: number;
}

/** Items from which the moments are estimated. */
export const MOST_ITEMS = 2048;

/**
 * Estimates the moments from up to 2048 items, drawn at random. The sum of squared eigenvalues is the mean of ((y - m).(y' - m))² over
 * pairs of different items, which needs no covariance matrix.
 */
export function dataMoments(bank: Bank, seed: number): DataMoments {
  const order = new KeyedRandom(randomKey(seed, "analysis")).permutation(bank.count).subarray(0, MOST_ITEMS);
  return noGrad(() =>
    scope(() => {
      const values = bank.toValues(bank.gather(order)).double();
      const mean = values.mean([0], true);
      const count = order.length;
      const pairs = scope(() => {
        const centred = values.sub(mean);
        const products = centred.mm(centred.t());
        const squares = products.square().sum().item() - products.diagonal().square().sum().item();
        return count > 1 ? squares / (count * (count - 1)) : 0;
      });
      const all = values.mean().item();
      return {
        sigmaData: Math.sqrt(values.sub(tensor(all)).square().mean().item()),
        meanSquare: mean.square().sum().item(),
        eigenvalueSquares: pairs,
      };
    }),
  );
}

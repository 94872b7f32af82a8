/** The divergence in the paper's bound on the variance of the stable target, and the bound itself. */

import { scope, type Tensor, where } from "@stf/torch";

/**
 * rho f(1 / rho) for ratios rho = posterior / prior, of the same shape, with the paper's f(y) = (1/y - 1)² for y < 1.5, and
 * 8y/27 - 1/3 from there on (Xu et al. 2023, theorem 2). Its mean over the prior is the divergence D_f(p_0 || p_0|t). In this form
 * nothing is divided by a ratio of 0.
 *
 * @param ratio - non-negative
 */
export function divergenceTerms(ratio: Tensor): Tensor {
  return scope(() => {
    const square = ratio.sub(1).square().mul(ratio);
    const line = ratio.mul(-1 / 3).add(8 / 27);
    return where(ratio.gt(2 / 3), square, line);
  });
}

/** What {@link varianceBound} depends on. */
export interface BoundInput {
  /** References, at least 2. */
  readonly references: number;
  /** V_DSM per value, of the denoiser. */
  readonly variance: number;
  /** E D_f(p_0 || p_0|t). */
  readonly divergence: number;
  /** Noise level. */
  readonly sigma: number;
}

/**
 * The bound on V_STF of the paper, (V_DSM + sqrt(3) D / sigma² sqrt(E D_f)) / (n - 1) in units of the score of an unscaled process
 * (Xu et al. 2023, theorem 2, without the term O(1/n²)), here per value of the denoiser: times sigma⁴ / D.
 */
export function varianceBound({ references, variance, divergence, sigma }: BoundInput): number {
  return (variance + Math.sqrt(3 * divergence) * sigma ** 2) / (references - 1);
}

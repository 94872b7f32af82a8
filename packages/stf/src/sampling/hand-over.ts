/** Two denoisers as one: an analytic denoiser at high noise, a network below. */

import { scope, type Tensor, tensor, zeros } from "@stf/torch";
import type { AnalyticDenoiser } from "../analytic/analytic-denoiser.js";
import { column } from "../column.js";
import { forEachImage, type PerImage } from "./sampler.js";

/** What a network is replaced by at high noise. */
export interface AnalyticPart {
  /** The denoiser. It belongs to the caller, and is on the device of the network. */
  readonly denoiser: AnalyticDenoiser;
  /** The noise level above which it is used. */
  readonly above: number;
  /**
   * The ratio of the noise levels between which one denoiser passes into the other, centred at `above`. 1 when left out: a jump, which
   * samplers with fixed steps do not mind, and which costs no further evaluations. Solvers that choose their steps by estimated errors
   * would take tiny ones across a jump.
   */
  readonly blend?: number;
}

/** A blend that solvers of adaptive step size cross in a few steps. */
export const SMOOTH_BLEND = 1.5;

/** The weight of the analytic denoiser at a noise level: 0 below, 1 above, with a continuous derivative if there is a blend. */
export function analyticWeight(sigma: number, { above, blend = 1 }: Pick<AnalyticPart, "above" | "blend">): number {
  if (blend === 1) return sigma >= above ? 1 : 0;
  const place = Math.min(1, Math.max(0, 0.5 + Math.log(sigma / above) / Math.log(blend)));
  return place * place * (3 - 2 * place);
}

/**
 * A denoiser of images of given classes, with the interface of samplers otherwise; a negative class means any, and so does leaving them
 * out.
 */
export type ClassDenoise = (x: Tensor, sigma: PerImage, classes?: Int32Array) => Tensor;

/** An analytic denoiser with the interface of samplers. */
export function denoiseAnalytically(denoiser: AnalyticDenoiser): ClassDenoise {
  return (x, sigma, classes) => denoiser.denoise(x, forEachImage(sigma, x.size(0)), classes);
}

/**
 * The network below the noise level of the hand-over, and the analytic denoiser above it, image by image. At most levels only one of
 * them is evaluated. Gradients flow through both.
 *
 * @param onAnalytic - called at each evaluation of the analytic denoiser
 * @throws RangeError for a noise level or a blend that is none
 */
export function handedOver(network: ClassDenoise, part: AnalyticPart, onAnalytic?: () => void): ClassDenoise {
  if (!(part.above > 0 && (part.blend ?? 1) >= 1)) {
    throw new RangeError(
      `an analytic part needs a noise level above 0 and a blend of at least 1, found ${part.above} and ${part.blend}`,
    );
  }
  const analytic = denoiseAnalytically(part.denoiser);
  return (x, sigma, classes) => {
    const levels = forEachImage(sigma, x.size(0));
    const weights = levels.map((level) => analyticWeight(level, part));
    if (weights.every((weight) => weight === 0)) return network(x, sigma, classes);
    onAnalytic?.();
    if (weights.every((weight) => weight === 1)) return analytic(x, sigma, classes);
    return scope(() => {
      const { dtype, device } = x;
      let sum = zeros(x.shape, { dtype, device });
      const add = (denoise: ClassDenoise, factors: Float64Array): void => {
        const rows = Int32Array.from(factors.keys()).filter((row) => (factors[row] as number) > 0);
        const of = (values: ArrayLike<number>): Float64Array => Float64Array.from(rows, (row) => values[row] as number);
        const index = tensor(rows, { device });
        const denoised = denoise(x.indexSelect(0, index), of(levels), classes && Int32Array.from(of(classes)));
        sum = sum.indexAdd(0, index, denoised.mul(column(of(factors), denoised)));
      };
      add(analytic, weights);
      add(
        network,
        weights.map((weight) => 1 - weight),
      );
      return sum;
    });
  };
}

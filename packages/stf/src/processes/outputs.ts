/** The quantities that a network may estimate, and exact conversions between them. */

import { scope, type Tensor } from "@stf/torch";
import { column } from "../column.js";
import type { Process } from "./process.js";

/**
 * - `denoiser`: D, the posterior mean of the clean image;
 * - `score`: the gradient of the log density of x_t, (s D - x_t) / (s sigma)²;
 * - `noise`: the posterior mean of eps, (x_t - s D) / (s sigma);
 * - `velocity`: dx_t/dt along the probability-flow ODE, (std'/std) x_t + (s' - (std'/std) s) D with std = s sigma.
 */
export type Output = "denoiser" | "score" | "noise" | "velocity";

/** An estimate in the form offset x_t + factor D. */
export interface Affine {
  /** Coefficient of the scaled noisy image. */
  readonly offset: number;
  /** Coefficient of the denoiser. */
  readonly factor: number;
}

/** How an estimate is computed from the noisy image and the denoiser, at a positive time below the end of the process. */
export function affineForm(output: Output, process: Process, t: number): Affine {
  const [s, sigma] = [process.scale(t), process.sigma(t)];
  const deviation = s * sigma;
  switch (output) {
    case "denoiser":
      return { offset: 0, factor: 1 };
    case "score":
      return { offset: -1 / deviation ** 2, factor: s / deviation ** 2 };
    case "noise":
      return { offset: 1 / deviation, factor: -s / deviation };
    case "velocity": {
      // std'/std, and s' - (std'/std) s = -s sigma'/sigma
      const growth = process.sigmaDerivative(t) / sigma;
      return { offset: growth + process.scaleDerivative(t) / s, factor: -s * growth };
    }
  }
}

/**
 * Converts an estimate of one kind to another.
 *
 * @param estimate - `[B, ...]`
 * @param x - x_t, the scaled noisy images, of the same shape and dtype
 * @param times - t of each image, `[B]`, positive and below the end of the process
 */
export function convertOutput(
  estimate: Tensor,
  { from, to }: { readonly from: Output; readonly to: Output },
  x: Tensor,
  times: ArrayLike<number>,
  process: Process,
): Tensor {
  if (from === to) return estimate;
  const forms = Array.from(times, (t) => {
    const [source, wanted] = [affineForm(from, process, t), affineForm(to, process, t)];
    const factor = wanted.factor / source.factor;
    return { factor, offset: wanted.offset - factor * source.offset };
  });
  return scope(() => {
    const all = (name: keyof Affine): Tensor =>
      column(
        forms.map((form) => form[name]),
        x,
      );
    return x.mul(all("offset")).addcmul_(estimate, all("factor"));
  });
}

import { addNoise, type ChurnOptions } from "./churn.js";
import { estimateAt, type Sampler, walk } from "./sampler.js";

/** Options of {@link heun}. */
export interface HeunOptions extends ChurnOptions {
  /** The position in a step of the second slope: 1 is Heun's method, 1/2 the midpoint, 2/3 Ralston's. */
  readonly alpha?: number;
}

/**
 * EDM's sampler: Heun's method on the probability flow, with churn (Karras et al. 2022, algorithm 2 for EDM's process, algorithm
 * 3 for any other).
 */
export const heun: Sampler<HeunOptions> = {
  name: "heun",
  order: 2,
  sample: (denoise, start, { process, times }, { alpha = 1, ...options } = {}) =>
    walk(
      start,
      times,
      (x, t, tNext) => {
        const { xHat, tHat } = addNoise(x, t, process, times.length - 1, options);

        // Euler step.
        const h = tNext - tHat;
        const dCur = estimateAt("velocity", denoise, process, xHat, tHat);
        if (tNext === 0) return xHat.add(dCur, { alpha: h });

        // Second-order correction.
        const tPrime = tHat + alpha * h;
        const xPrime = xHat.add(dCur, { alpha: alpha * h });
        const dPrime = estimateAt("velocity", denoise, process, xPrime, tPrime);
        const share = 1 / (2 * alpha);
        return xHat.add(dCur.mul_(1 - share).add_(dPrime, { alpha: share }), { alpha: h });
      },
      options.onStep,
    ),
};

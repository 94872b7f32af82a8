/**
 * DPM-Solver++ in its multi-step form of second order (Lu et al. 2022, arXiv 2211.01095): exponential integration in lambda =
 * -ln sigma. Over a step of length h, with k = 1 + eta,
 *
 *     x(h) / s(h) = e^(-k h) x(0) / s(0) + integral over u from 0 to h of k e^(-k (h - u)) D(u) du + noise,
 *
 * where D, the denoised image, is extrapolated linearly from the last two.
 */

import { keep, type Tensor } from "@stf/torch";
import {
  type Denoise,
  denoiseAt,
  requireNoise,
  type Sampler,
  type SamplerOptions,
  type TimeSteps,
  walk,
} from "./sampler.js";

/** How the integral over a step is approximated: with D at its midpoint, as in the paper ("midpoint"), or along the line ("heun"). */
export type SolverType = "midpoint" | "heun";

/** Options of SDE-DPM-Solver++. */
export interface SdeDpmSolverOptions extends SamplerOptions {
  /** Rate at which fresh noise replaces noise: 0 is the probability flow, 1 (the default) the reverse diffusion. */
  readonly eta?: number;
  /** "midpoint" when left out; without noise (`eta` 0) that is {@link dpmSolver}. */
  readonly solverType?: SolverType;
}

/** The position where the line is evaluated, as a fraction of the step: its midpoint, or the mean position under the integral's weights; for k h > 0. */
const places: Readonly<Record<SolverType, (exponent: number) => number>> = {
  midpoint: () => 1 / 2,
  heun: (exponent) => -1 / Math.expm1(-exponent) - 1 / exponent,
};

function solve(
  denoise: Denoise,
  start: Tensor,
  { process, times }: TimeSteps,
  { eta, solverType, noise, onStep }: SamplerOptions & Required<Pick<SdeDpmSolverOptions, "eta" | "solverType">>,
): Tensor {
  let previous: { denoised: Tensor; h: number } | undefined;
  try {
    return walk(
      start,
      times,
      (x, t, tNext) => {
        const [sigma, sigmaNext] = [process.sigma(t), process.sigma(tNext)];
        const [s, sNext] = [process.scale(t), process.scale(tNext)];
        const h = Math.log(sigma / sigmaNext);
        const denoised = denoiseAt(denoise, process, x, t);
        // No extrapolation over the last step, which is as long as all others together, nor from or over a step of length zero.
        const clean =
          previous && previous.h > 0 && h > 0 && sigmaNext > 0
            ? denoised.add(denoised.sub(previous.denoised), {
                alpha: (h * places[solverType]((1 + eta) * h)) / previous.h,
              })
            : denoised;
        const ratio = (sigmaNext / sigma) ** (1 + eta);
        const next = x.mul((sNext / s) * ratio).add_(clean, { alpha: sNext * (1 - ratio) });
        if (eta > 0 && noise && sigmaNext > 0) {
          next.add_(noise(x), { alpha: sNext * sigmaNext * Math.sqrt(-Math.expm1(-2 * eta * h)) });
        }
        previous?.denoised.dispose();
        previous = { denoised: keep(denoised), h };
        return next;
      },
      onStep,
    );
  } finally {
    previous?.denoised.dispose();
  }
}

/** DPM-Solver++(2M): deterministic, one evaluation per step. */
export const dpmSolver: Sampler = {
  name: "dpm++2m",
  order: 2,
  sample: (denoise, x, steps, options) => solve(denoise, x, steps, { ...options, eta: 0, solverType: "midpoint" }),
};

/** SDE-DPM-Solver++(2M): the same with noise that is replaced at every step, one evaluation per step. */
export const sdeDpmSolver: Sampler<SdeDpmSolverOptions> = {
  name: "dpm++2m-sde",
  order: 2,
  sample(denoise, x, steps, { eta = 1, solverType = "midpoint", ...options } = {}) {
    if (eta > 0) requireNoise(options.noise, "dpm++2m-sde");
    return solve(denoise, x, steps, { ...options, eta, solverType });
  },
};

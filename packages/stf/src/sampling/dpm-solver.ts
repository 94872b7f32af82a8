/**
 * DPM-Solver++ in its multi-step form of second order (Lu et al. 2022, arXiv 2211.01095): exponential integration in lambda =
 * -ln sigma. The clean image is extrapolated along the line through the last two denoised ones.
 */

import { keep, type Tensor } from "@stf/torch";
import { denoiseAt, requireNoise, type Sampler, type SamplerOptions, walk } from "./sampler.js";

/** What DPM-Solver++ takes besides the steps. */
export interface DpmSolverOptions extends SamplerOptions {
  /** How fast noise is replaced by fresh noise: 0 follows the probability flow, 1 the reverse diffusion. */
  readonly eta?: number;
}

function solver(name: string, ownEta: number): Sampler<DpmSolverOptions> {
  return {
    name,
    order: 2,
    sample(denoise, start, { process, times }, { eta = ownEta, noise, onStep } = {}) {
      if (eta > 0) requireNoise(noise, name);
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
            // Nothing is extrapolated over the last step, which is as long as all others together, nor over none.
            const clean =
              previous && previous.h > 0 && sigmaNext > 0
                ? denoised.add(denoised.sub(previous.denoised), { alpha: h / (2 * previous.h) })
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
    },
  };
}

/** DPM-Solver++(2M): deterministic, one evaluation a step. */
export const dpmSolver = solver("dpm++2m", 0);

/** SDE-DPM-Solver++(2M): the same with noise that is replaced on the way, one evaluation a step. */
export const sdeDpmSolver = solver("dpm++2m-sde", 1);

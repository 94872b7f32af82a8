/**
 * One step of reverse diffusion (Song et al. 2021, appendix D to F). Each makes, of images at a time, those one step earlier:
 * `mean` before its noise is added, `x` after.
 */

import { scope, type Tensor } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { ChainStep, DiscreteProcess } from "../processes/process.js";

/** Where a step starts. */
export interface ReverseState {
  /** What is reversed. */
  readonly process: DiscreteProcess;
  /** Scaled noisy images, `[B, C, H, W]`. */
  readonly x: Tensor;
  /** Their time. */
  readonly t: number;
  /** Number of all steps of the chain. */
  readonly count: number;
  /** The score of x. */
  readonly score: Tensor;
  /** Standard normal noise like its argument; "none" for the probability flow, which has half the score and no noise. */
  readonly noise: ((like: Tensor) => Tensor) | "none";
}

/** Images one step earlier. */
export interface ReverseStep {
  /** Without the step's noise. */
  readonly mean: Tensor;
  /** With it. */
  readonly x: Tensor;
}

/** A way to take a step. */
export type Predictor = (state: ReverseState) => ReverseStep;

function withNoise(mean: Tensor, deviation: number, { noise }: ReverseState): ReverseStep {
  return { mean, x: noise === "none" ? mean : mean.add(noise(mean), { alpha: deviation }) };
}

const chainStep = ({ process, t, count }: ReverseState): ChainStep => process.chainStep(t, count);

/** How much of the score is followed. */
const share = ({ noise }: ReverseState): number => (noise === "none" ? 0.5 : 1);

/** Euler's step of the reverse stochastic differential equation, dx = (f - g² score) dt + g dw. */
const eulerMaruyama: Predictor = (state) =>
  scope(() => {
    const { process, x, t, count, score } = state;
    const s = process.scale(t);
    const drift = process.scaleDerivative(t) / s;
    const diffusion = 2 * s ** 2 * process.sigma(t) * process.sigmaDerivative(t);
    const mean = x.mul(1 - drift / count).add_(score, { alpha: (diffusion * share(state)) / count });
    return withNoise(mean, Math.sqrt(diffusion / count), state);
  });

/** The step of the forward chain, reversed. */
const reverseDiffusion: Predictor = (state) =>
  scope(() => {
    const { decay, deviation } = chainStep(state);
    const mean = state.x.mul(2 - decay).add_(state.score, { alpha: deviation ** 2 * share(state) });
    return withNoise(mean, deviation, state);
  });

/** The mean of the posterior of the earlier images (Ho et al. 2020), with the noise that the process names. */
const ancestral: Predictor = (state) =>
  scope(() => {
    const { decay, deviation, posteriorDeviation } = chainStep(state);
    if (posteriorDeviation === undefined || state.noise === "none") {
      throw new UsageError(
        posteriorDeviation === undefined
          ? `ancestral sampling is not defined for the process ${state.process.name}; take euler-maruyama`
          : "ancestral sampling has no probability flow; take reverse-diffusion",
      );
    }
    const mean = state.x.add(state.score, { alpha: deviation ** 2 }).mul_(1 / decay);
    return withNoise(mean, posteriorDeviation, state);
  });

/** The name of a predictor; "none" leaves everything to the corrector. */
export type PredictorName = "reverse-diffusion" | "euler-maruyama" | "ancestral" | "none";

/** The predictors by name. */
export const predictors: Readonly<Record<PredictorName, Predictor | undefined>> = {
  "reverse-diffusion": reverseDiffusion,
  "euler-maruyama": eulerMaruyama,
  ancestral,
  none: undefined,
};

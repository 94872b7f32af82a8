/**
 * One step of reverse diffusion (Song et al. 2021, appendix D to F). Each takes images one step back in time:
 * `mean` is the result before noise is added, `x` after.
 */

import { scope, type Tensor } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { ChainStep, DiscreteProcess } from "../processes/process.js";

/** The start of a step. */
export interface ReverseState {
  /** The process to reverse. */
  readonly process: DiscreteProcess;
  /** Scaled noisy images, `[B, C, H, W]`. */
  readonly x: Tensor;
  /** Their time. */
  readonly t: number;
  /** Total number of steps in the chain. */
  readonly count: number;
  /** The score of x. */
  readonly score: Tensor;
  /** Standard normal noise shaped like its argument; "none" for the probability flow, which has half the score and no noise. */
  readonly noise: ((like: Tensor) => Tensor) | "none";
}

/** Images one step earlier. */
export interface ReverseStep {
  /** Without the noise of the step. */
  readonly mean: Tensor;
  /** With the noise of the step. */
  readonly x: Tensor;
}

/** A predictor step. */
export type Predictor = (state: ReverseState) => ReverseStep;

function withNoise(mean: Tensor, deviation: number, { noise }: ReverseState): ReverseStep {
  return { mean, x: noise === "none" ? mean : mean.add(noise(mean), { alpha: deviation }) };
}

const chainStep = ({ process, t, count }: ReverseState): ChainStep => process.chainStep(t, count);

/** Factor on the score. */
const scoreFactor = ({ noise }: ReverseState): number => (noise === "none" ? 0.5 : 1);

/** Euler's step of the reverse stochastic differential equation, dx = (f - g² score) dt + g dw. */
const eulerMaruyama: Predictor = (state) =>
  scope(() => {
    const { process, x, t, count, score } = state;
    const s = process.scale(t);
    const drift = process.scaleDerivative(t) / s;
    const diffusion = 2 * s ** 2 * process.sigma(t) * process.sigmaDerivative(t);
    const mean = x.mul(1 - drift / count).add_(score, { alpha: (diffusion * scoreFactor(state)) / count });
    return withNoise(mean, Math.sqrt(diffusion / count), state);
  });

/** The step of the forward chain, reversed. */
const reverseDiffusion: Predictor = (state) =>
  scope(() => {
    const { decay, deviation } = chainStep(state);
    const mean = state.x.mul(2 - decay).add_(state.score, { alpha: deviation ** 2 * scoreFactor(state) });
    return withNoise(mean, deviation, state);
  });

/** The posterior mean of the earlier images (Ho et al. 2020), with the posterior noise of the process. */
const ancestral: Predictor = (state) =>
  scope(() => {
    const { decay, deviation, posteriorDeviation } = chainStep(state);
    if (posteriorDeviation === undefined || state.noise === "none") {
      throw new UsageError(
        posteriorDeviation === undefined
          ? `ancestral sampling is not defined for the process ${state.process.name}; use euler-maruyama`
          : "ancestral sampling has no probability flow; use reverse-diffusion",
      );
    }
    const mean = state.x.add(state.score, { alpha: deviation ** 2 }).mul_(1 / decay);
    return withNoise(mean, posteriorDeviation, state);
  });

/** The name of a predictor; "none" uses the corrector only. */
export type PredictorName = "reverse-diffusion" | "euler-maruyama" | "ancestral" | "none";

/** The predictors by name. */
export const predictors: Readonly<Record<PredictorName, Predictor | undefined>> = {
  "reverse-diffusion": reverseDiffusion,
  "euler-maruyama": eulerMaruyama,
  ancestral,
  none: undefined,
};

import { scope, type Tensor } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { DiscreteProcess } from "../processes/process.js";
import { type CorrectorName, correctors } from "./correctors.js";
import { type PredictorName, predictors, type ReverseStep } from "./predictors.js";
import {
  type Denoise,
  estimateAt,
  requireNoise,
  type Sampler,
  type SamplerOptions,
  type TimeSteps,
  walk,
} from "./sampler.js";

/** Options of {@link predictorCorrector}. */
export interface PredictorCorrectorOptions extends SamplerOptions {
  /** The predictor step. */
  readonly predictor?: PredictorName;
  /** The corrector, applied at each time before the step. */
  readonly corrector?: CorrectorName;
  /** Corrector iterations per step. */
  readonly correctorSteps?: number;
  /** Signal-to-noise ratio of the corrector, which sets its step size; 0.05 to 0.2 is usual. */
  readonly snr?: number;
  /** Follow the probability flow: half the score, no noise in the predictor. */
  readonly flow?: boolean;
  /** Leave out the noise of the last step. */
  readonly denoiseLast?: boolean;
  /** Whether each image has its own corrector step size; as published, it is the mean over the batch. */
  readonly perImage?: boolean;
}

/** The constants of a chain. */
interface Chain extends TimeSteps<DiscreteProcess> {
  readonly denoise: Denoise;
  readonly options: PredictorCorrectorOptions;
}

function correct(x: Tensor, t: number, chain: Chain): Tensor {
  const { denoise, process, times, options } = chain;
  const { corrector = "langevin", correctorSteps = 1, snr = 0.16, perImage = true, noise } = options;
  const stepSize = correctors[corrector];
  if (!stepSize) return x;
  requireNoise(noise, `the corrector ${corrector}`);
  const alpha = process.chainStep(t, times.length).decay ** 2;
  return scope(() => {
    let current = x;
    for (let i = 0; i < correctorSteps; i++) {
      const before = current;
      current = scope(() => {
        const score = estimateAt("score", denoise, process, before, t);
        const z = noise(before);
        const epsilon = stepSize({ process, x: before, score, z, t, alpha, snr, perImage });
        if (typeof epsilon === "number") {
          return before.add(score, { alpha: epsilon }).add_(z, { alpha: Math.sqrt(2 * epsilon) });
        }
        return before.addcmul(score, epsilon).addcmul_(z, epsilon.mul(2).sqrt_());
      });
      if (before !== x) before.dispose();
    }
    return current;
  });
}

function predict(x: Tensor, t: number, chain: Chain): ReverseStep {
  const { denoise, process, times, options } = chain;
  const { predictor = "reverse-diffusion", flow = false, noise } = options;
  const step = predictors[predictor];
  if (!step) return { mean: x, x };
  if (!flow) requireNoise(noise, `the predictor ${predictor}`);
  return scope(() => {
    const score = estimateAt("score", denoise, process, x, t);
    return step({
      process,
      x,
      t,
      count: times.length,
      score,
      noise: flow || !noise ? "none" : noise,
    });
  });
}

/** The last step leads to time 0: a list of times that ends there would drop a step's noise, or divide by zero. */
function checkTimes(times: readonly number[]): void {
  const last = times.at(-1);
  if (last !== undefined && last > 0) return;
  throw new UsageError(
    `the times of the predictor-corrector must end above 0, at the last network evaluation; found ${last ?? "none"}: use evenSteps, or leave out the 0`,
  );
}

/**
 * Alternates corrector and predictor along a process that is also a chain (Song et al. 2021, algorithm 1). The times are evenly
 * spaced, from the end of the process to the last network evaluation; the chain has one step per time, and
 * the last leads to clean images.
 *
 * @throws UsageError when the times do not end above 0, or a predictor or corrector lacks the noise it needs.
 */
export const predictorCorrector: Sampler<PredictorCorrectorOptions, DiscreteProcess> = {
  name: "pc",
  order: 1,
  sample(denoise, start, { process, times }, options = {}) {
    checkTimes(times);
    const { denoiseLast = true, onStep } = options;
    const chain: Chain = { denoise, process, times, options };
    return walk(
      start,
      [...times, 0],
      (x, t, tNext) => {
        const after = predict(correct(x, t, chain), t, chain);
        return denoiseLast && tNext === 0 ? after.mean : after.x;
      },
      onStep,
    );
  },
};

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

/** What {@link predictorCorrector} takes besides the steps. */
export interface PredictorCorrectorOptions extends SamplerOptions {
  /** How a step is taken. */
  readonly predictor?: PredictorName;
  /** What follows at every time, before the step. */
  readonly corrector?: CorrectorName;
  /** How often the corrector is applied. */
  readonly correctorSteps?: number;
  /** Signal-to-noise ratio of the corrector, which sets its step size; 0.05 to 0.2 is usual. */
  readonly snr?: number;
  /** Follow the probability flow: half the score, no noise in the predictor. */
  readonly flow?: boolean;
  /** Leave out the noise of the last step. */
  readonly denoiseLast?: boolean;
  /** Whether the corrector's step size is each image's own; the published one is the mean over the batch. */
  readonly perImage?: boolean;
}

/** What stays the same along the chain. */
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

/** Time 0 is where the last step leads: a time list that ends there would drop a step's noise, or divide by zero. */
function checkTimes(times: readonly number[]): void {
  const last = times.at(-1);
  if (last !== undefined && last > 0) return;
  throw new UsageError(
    `the times of the predictor-corrector must end above 0, where the network is evaluated last; found ${last ?? "none"}: take evenSteps, or leave out the 0`,
  );
}

/**
 * Predictor and corrector in turns along a process that is also a chain (Song et al. 2021, algorithm 1). The times are evenly
 * spaced, from the end of the process to the last at which the network is evaluated; the chain has as many steps as there are
 * times, and the last leads to clean images.
 *
 * @throws UsageError when the times do not end above 0, or noise is missing that a predictor or corrector needs.
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

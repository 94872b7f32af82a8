/**
 * A noise process: how images turn into noise. x_t = s(t) (y + sigma(t) eps), with y the clean image and eps standard
 * normal (Karras et al. 2022, equation 1). Networks and targets see the unscaled x_t / s(t) = y + sigma eps. In the
 * notation N(x_t; alpha y, std²) of Song et al. (2021), alpha = s and std = s sigma.
 */
export interface Process {
  /** Short name, such as "edm". */
  readonly name: string;
  /** The largest time; the smallest is 0, with the least noise: none, except in the variance-exploding process. */
  readonly end: number;
  /** Noise level at time t; it rises with t. */
  sigma(t: number): number;
  /** d sigma / d t */
  sigmaDerivative(t: number): number;
  /** The time at which the noise level is sigma. */
  sigmaInverse(sigma: number): number;
  /** Signal scale s(t). */
  scale(t: number): number;
  /** d s / d t */
  scaleDerivative(t: number): number;
}

/** One step of a process in discrete time, x_i = decay x_{i-1} + deviation z with z standard normal. */
export interface ChainStep {
  /** Factor on the image. */
  readonly decay: number;
  /** Standard deviation of the added noise. */
  readonly deviation: number;
  /** Standard deviation of the noise that ancestral sampling adds; undefined if it is not defined for the process. */
  readonly posteriorDeviation: number | undefined;
}

/** A process that is also a chain with a number of steps, which predictors reverse (Song et al. 2021, appendix E). */
export interface DiscreteProcess extends Process {
  /** The earliest time at which reverse diffusion evaluates the network in the published settings of Song et al. (2021). */
  readonly earliestTime: number;
  /** The step that ends at time t, of `count` steps (at least 2). Images are clean before the first, which ends at 0. */
  chainStep(t: number, count: number): ChainStep;
}

/** The number of the step of a chain on [0, 1] that ends at or before time t, which may be off by rounding. */
const placeOf = (t: number, count: number): number => Math.floor(t * (count - 1) + 1e-6);

/** The process of EDM (Karras et al. 2022): the time is the noise level, and the signal scale is 1. */
export const edmProcess: Process = {
  name: "edm",
  end: Number.POSITIVE_INFINITY,
  sigma: (t) => t,
  sigmaDerivative: () => 1,
  sigmaInverse: (sigma) => sigma,
  scale: () => 1,
  scaleDerivative: () => 0,
};

/**
 * The variance-exploding process (Song et al. 2021, section 3.4): sigma grows geometrically from sigmaMin to sigmaMax on
 * [0, 1]. At t = 0 the noise is sigmaMin, not none.
 */
export function veProcess({
  sigmaMin = 0.02,
  sigmaMax = 100,
}: {
  sigmaMin?: number;
  sigmaMax?: number;
} = {}): DiscreteProcess {
  const growth = Math.log(sigmaMax / sigmaMin);
  const sigma = (t: number): number => sigmaMin * Math.exp(growth * t);
  return {
    name: "ve",
    end: 1,
    earliestTime: 1e-5,
    sigma,
    sigmaDerivative: (t) => growth * sigma(t),
    sigmaInverse: (level) => Math.log(level / sigmaMin) / growth,
    scale: () => 1,
    scaleDerivative: () => 0,
    chainStep(t, count) {
      const index = placeOf(t, count);
      const level = sigma(index / (count - 1));
      const before = index > 0 ? sigma((index - 1) / (count - 1)) : 0;
      const deviation = Math.sqrt(level ** 2 - before ** 2);
      return { decay: 1, deviation, posteriorDeviation: (deviation * before) / level };
    },
  };
}

/** Drift beta(t) = betaMin + (betaMax - betaMin) t, and its integral B(t), with the time at which the integral is B. */
interface LinearBeta {
  beta(t: number): number;
  integral(t: number): number;
  inverse(integral: number): number;
}

/** A rate of decay beta(t) that rises linearly on [0, 1]. */
export interface BetaOptions {
  /** beta(0) */
  readonly betaMin?: number;
  /** beta(1) */
  readonly betaMax?: number;
}

function linearBeta({ betaMin = 0.1, betaMax = 20 }: BetaOptions): LinearBeta {
  const slope = betaMax - betaMin;
  return {
    beta: (t) => betaMin + slope * t,
    integral: (t) => t * (betaMin + 0.5 * slope * t),
    // The root of a quadratic, in a form without cancellation for small B.
    inverse: (integral) => (2 * integral) / (Math.sqrt(betaMin ** 2 + 2 * slope * integral) + betaMin),
  };
}

/** The variance-preserving process (Song et al. 2021, section 3.4): alpha = exp(-B/2), std² = 1 - alpha². */
export function vpProcess(options: BetaOptions = {}): DiscreteProcess {
  const { beta, integral, inverse } = linearBeta(options);
  const scale = (t: number): number => Math.exp(-0.5 * integral(t));
  const sigma = (t: number): number => Math.sqrt(Math.expm1(integral(t)));
  return {
    name: "vp",
    end: 1,
    earliestTime: 1e-3,
    sigma,
    sigmaDerivative: (t) => (0.5 * beta(t) * Math.exp(integral(t))) / sigma(t),
    sigmaInverse: (level) => inverse(Math.log1p(level ** 2)),
    scale,
    scaleDerivative: (t) => -0.5 * beta(t) * scale(t),
    // The chain of denoising diffusion (Ho et al. 2020).
    chainStep(t, count) {
      const step = beta(placeOf(t, count) / (count - 1)) / count;
      const deviation = Math.sqrt(step);
      return { decay: Math.sqrt(1 - step), deviation, posteriorDeviation: deviation };
    },
  };
}

/**
 * The sub-variance-preserving process (Song et al. 2021, section 3.4): alpha = exp(-B/2), std = 1 - alpha². So
 * sigma = std / alpha = 2 sinh(B/2).
 */
export function subVpProcess(options: BetaOptions = {}): DiscreteProcess {
  const { beta, integral, inverse } = linearBeta(options);
  const scale = (t: number): number => Math.exp(-0.5 * integral(t));
  return {
    name: "subvp",
    end: 1,
    earliestTime: 1e-3,
    sigma: (t) => 2 * Math.sinh(0.5 * integral(t)),
    sigmaDerivative: (t) => beta(t) * Math.cosh(0.5 * integral(t)),
    sigmaInverse: (level) => inverse(2 * Math.asinh(0.5 * level)),
    scale,
    scaleDerivative: (t) => -0.5 * beta(t) * scale(t),
    // Euler's step of its stochastic differential equation, whose posterior is not known.
    chainStep(t, count) {
      const step = beta(t) / count;
      const deviation = Math.sqrt(-step * Math.expm1(-2 * integral(t)));
      return { decay: 1 - step / 2, deviation, posteriorDeviation: undefined };
    },
  };
}

/**
 * Linear interpolation from the image to noise, x_t = (1 - t) y + t eps, as in flow matching (Lipman et al. 2023; Liu et
 * al. 2023).
 */
export const flowProcess: Process = {
  name: "flow",
  end: 1,
  sigma: (t) => t / (1 - t),
  sigmaDerivative: (t) => 1 / (1 - t) ** 2,
  sigmaInverse: (sigma) => sigma / (1 + sigma),
  scale: (t) => 1 - t,
  scaleDerivative: () => -1,
};

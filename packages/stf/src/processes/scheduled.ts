/**
 * Noise schedules and signal scales that combine freely: those of the generalised sampler of Karras et al. (2022, table
 * 1 and appendix B).
 */

import { UsageError } from "../common/errors.js";
import { edmProcess, type Process, vpProcess } from "./process.js";

/** The names of sigma(t): that of the variance-preserving process, sqrt(t), and t. */
export const schedules = ["vp", "ve", "linear"] as const;

/** The name of a noise schedule. */
export type Schedule = (typeof schedules)[number];

/** The names of s(t): 1 / sqrt(1 + sigma²), which keeps the variance, and 1. */
export const scalings = ["vp", "none"] as const;

/** The name of a signal scale. */
export type Scaling = (typeof scalings)[number];

/** Lowest and highest noise level. */
export interface NoiseRange {
  /** Positive. */
  readonly sigmaMin: number;
  /** Above sigmaMin. */
  readonly sigmaMax: number;
}

/** The time at which the variance-preserving schedule has its lowest noise level, in sampling. */
export const SHORTEST_TIME = 1e-3;

/**
 * The variance-preserving process whose noise level is sigmaMin at the shortest time, 0.001 when left out, and sigmaMax at time 1.
 *
 * @throws UsageError for a range so narrow that the noise level would not be monotonic.
 */
export function vpProcessBetween({ sigmaMin, sigmaMax }: NoiseRange, shortestTime = SHORTEST_TIME): Process {
  const [low, high] = [Math.log1p(sigmaMin ** 2), Math.log1p(sigmaMax ** 2)];
  const slope = (2 * (low / shortestTime - high)) / (shortestTime - 1);
  const betaMin = high - slope / 2;
  if (betaMin + slope * shortestTime < 0 || betaMin + slope < 0) {
    throw new UsageError(
      `the variance-preserving schedule cannot go from noise level ${sigmaMax} to ${sigmaMin}; use a wider range, such as 80 to 0.002, or another schedule`,
    );
  }
  return vpProcess({ betaMin, betaMax: betaMin + slope });
}

const unscaled = { scale: () => 1, scaleDerivative: () => 0 } as const;

/** The noise of a heat equation: its variance is the time. */
const heatProcess: Process = {
  name: "heat",
  end: Number.POSITIVE_INFINITY,
  sigma: Math.sqrt,
  sigmaDerivative: (t) => 0.5 / Math.sqrt(t),
  sigmaInverse: (sigma) => sigma ** 2,
  ...unscaled,
};

/**
 * The process with a chosen noise schedule and signal scale. The range and the shortest time matter only to the schedule
 * "vp".
 */
export function scheduledProcess(
  schedule: Schedule,
  scaling: Scaling,
  range: NoiseRange,
  shortestTime = SHORTEST_TIME,
): Process {
  const processOf = { vp: vpProcessBetween, ve: () => heatProcess, linear: () => edmProcess };
  const process = processOf[schedule](range, shortestTime);
  if (scaling === "none") return { ...process, ...unscaled };
  const scale = (t: number): number => 1 / Math.sqrt(1 + process.sigma(t) ** 2);
  return {
    ...process,
    scale,
    scaleDerivative: (t) => -process.sigma(t) * process.sigmaDerivative(t) * scale(t) ** 3,
  };
}

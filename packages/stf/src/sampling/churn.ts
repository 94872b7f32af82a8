import { scope, type Tensor } from "@stf/torch";
import type { Process } from "../processes/process.js";
import { requireNoise, type SamplerOptions } from "./sampler.js";

/** Noise that is added between steps (Karras et al. 2022, algorithm 2). */
export interface Churn {
  /** Amount over the whole trajectory; 0: deterministic. */
  readonly amount: number;
  /** Noise is added only while sMin <= sigma <= sMax. */
  readonly sMin: number;
  /** The upper end of that range. */
  readonly sMax: number;
  /** Standard deviation of the added noise. */
  readonly sNoise: number;
}

/** Options of samplers that may add noise before a step. */
export interface ChurnOptions extends SamplerOptions {
  /** Rounds a raised noise level to the network's nearest one; unchanged when left out. */
  readonly round?: (sigma: number) => number;
  /** Requires `noise`; no churn when left out. */
  readonly churn?: Churn;
}

const NO_CHURN: Churn = { amount: 0, sMin: 0, sMax: Number.POSITIVE_INFINITY, sNoise: 1 };

/** Images before a step, with added noise. */
export interface Churned {
  /** May be the unchanged images. */
  readonly xHat: Tensor;
  /** Their new time. */
  readonly tHat: number;
}

/**
 * Raises the noise level a little by adding fresh noise.
 *
 * @param count - total number of steps
 */
export function addNoise(
  x: Tensor,
  t: number,
  { sigma, sigmaInverse, scale }: Process,
  count: number,
  { churn = NO_CHURN, round = (level: number) => level, noise }: ChurnOptions,
): Churned {
  if (!(churn.amount > 0)) return { xHat: x, tHat: t };
  requireNoise(noise, "churn");
  const level = sigma(t);
  const inRange = level >= churn.sMin && level <= churn.sMax;
  const gamma = inRange ? Math.min(churn.amount / count, Math.SQRT2 - 1) : 0;
  const tHat = sigmaInverse(round(level + gamma * level));
  const added = Math.sqrt(Math.max(sigma(tHat) ** 2 - level ** 2, 0)) * scale(tHat) * churn.sNoise;
  // Drawn at every step, even if none is added, so that a seed gives the same noise whatever the window.
  const xHat = scope(() => x.mul(scale(tHat) / scale(t)).add_(noise(x), { alpha: added }));
  return { xHat, tHat };
}

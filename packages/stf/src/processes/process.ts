/**
 * A noise process: how images turn into noise. x_t = s(t) (y + sigma(t) eps), with y the clean image and eps standard
 * normal (Karras et al. 2022, equation 1). Networks and targets see the unscaled x_t / s(t) = y + sigma eps.
 */
export interface Process {
  /** Short name, such as "edm". */
  readonly name: string;
  /** Noise level at time t. */
  sigma(t: number): number;
  /** The time at which the noise level is sigma. */
  sigmaInverse(sigma: number): number;
  /** Signal scale s(t). */
  scale(t: number): number;
}

/** The process of EDM: the time is the noise level, and the signal keeps its scale. */
export const edmProcess: Process = {
  name: "edm",
  sigma: (t) => t,
  sigmaInverse: (sigma) => sigma,
  scale: () => 1,
};

import { uniformTimesWithin } from "../processes/noise-levels.js";
import { veProcess } from "../processes/process.js";
import { requireConstant, requirePositive, requireTrainable } from "./constants.js";
import { noiseWeight, type Preconditioning, sameChannels } from "./preconditioning.js";

/** The constants of {@link vePreconditioning}. */
export interface VeConstants {
  /** Noise level at time 0: 0.02. */
  readonly sigmaMin?: number;
  /** Noise level at time 1: 100. */
  readonly sigmaMax?: number;
}

/**
 * The variance-exploding preconditioning (Song et al. 2021, in the form of Karras et al. 2022, table 1): -F estimates the noise.
 * In training the time is uniform, and so is ln sigma.
 *
 * @throws UsageError unless 0 < sigmaMin < sigmaMax, and for noise levels with which float32 cannot compute
 */
export function vePreconditioning({ sigmaMin = 0.02, sigmaMax = 100 }: VeConstants = {}): Preconditioning {
  const range = { sigmaMin, sigmaMax };
  requirePositive(range);
  requireConstant(sigmaMin < sigmaMax, "sigmaMin must be below sigmaMax", `${sigmaMin} and ${sigmaMax}`);
  requireTrainable(range, "bring sigmaMin and sigmaMax closer to 1");
  const process = veProcess(range);
  return {
    name: "ve",
    constants: range,
    process,
    ...range,
    coefficients: (sigma) => ({ skip: 1, out: sigma, in: 1, noise: Math.log(sigma / 2) }),
    lossWeight: noiseWeight,
    noiseLevels: uniformTimesWithin(process, range),
    outputChannels: sameChannels,
  };
}

import { uniformTimesWithin } from "../processes/noise-levels.js";
import { flowProcess } from "../processes/process.js";
import { requireConstant, requirePositive, requireTimeSteps } from "./constants.js";
import { type Preconditioning, sameChannels } from "./preconditioning.js";

/** The constants of {@link flowPreconditioning}. */
export interface FlowConstants {
  /** M: c_noise is (M - 1) t. 1000. */
  readonly timeSteps?: number;
  /** Margin of the training times from 0 and 1: 1e-4. */
  readonly epsilon?: number;
}

/**
 * Flow matching (Lipman et al. 2023; Liu et al. 2023): F sees x_t = (1 - t) y + t eps and (M - 1) t, and estimates the velocity
 * eps - y, with uniform loss weight. D = x_t - t F. In training the time is uniform.
 *
 * @throws UsageError unless M is a whole number of at least 2, and 0 < epsilon < 0.5
 */
export function flowPreconditioning({ timeSteps = 1000, epsilon = 1e-4 }: FlowConstants = {}): Preconditioning {
  requirePositive({ epsilon });
  requireTimeSteps(timeSteps);
  requireConstant(epsilon < 0.5, "epsilon must be below 0.5", epsilon);
  const range = { sigmaMin: flowProcess.sigma(epsilon), sigmaMax: flowProcess.sigma(1 - epsilon) };
  return {
    name: "flow",
    constants: { timeSteps, epsilon },
    process: flowProcess,
    ...range,
    coefficients: (sigma) => {
      const t = flowProcess.sigmaInverse(sigma);
      return { skip: 1 - t, out: -t, in: 1 - t, noise: (timeSteps - 1) * t };
    },
    lossWeight: (sigma) => 1 / flowProcess.sigmaInverse(sigma) ** 2,
    noiseLevels: uniformTimesWithin(flowProcess, range),
    outputChannels: sameChannels,
  };
}

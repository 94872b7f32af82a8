/** The law of the noise level that belongs to each preconditioning. */

import type { PreconditioningName } from "../networks/architectures.js";
import { iddpmPreconditioning, vePreconditioning } from "../networks/precondition.js";
import { logNormalLevels, type NoiseLevels, oneOfLevels, uniformTimes } from "../processes/noise-levels.js";
import { flowProcess, subVpProcess, veProcess, vpProcess } from "../processes/process.js";

/** At the smallest time of the continuous-time objectives of Song et al. (2021) there is hardly any noise left. */
const SMALLEST_TIME = 1e-5;
/** The velocity is undefined at the ends of the interpolation. */
const SMALLEST_FLOW_TIME = 1e-4;

/**
 * EDM: ln sigma normal with mean -1.2 and deviation 1.2 (Karras et al. 2022, table 1). VE, VP, sub-VP and flow matching: the
 * time uniform. Improved DDPM: each of its levels equally likely.
 */
export const trainingLevels: Readonly<Record<PreconditioningName, () => NoiseLevels>> = {
  edm: () => logNormalLevels(-1.2, 1.2),
  vp: () => uniformTimes(vpProcess(), 1, SMALLEST_TIME),
  ve: () => {
    const { sigmaMin, sigmaMax } = vePreconditioning();
    return uniformTimes(veProcess({ sigmaMin, sigmaMax }), 0, 1);
  },
  subvp: () => uniformTimes(subVpProcess(), 1, SMALLEST_TIME),
  flow: () => uniformTimes(flowProcess, 1 - SMALLEST_FLOW_TIME, SMALLEST_FLOW_TIME),
  iddpm: () => {
    const levels = iddpmPreconditioning().levels ?? new Float64Array();
    return oneOfLevels(levels.subarray(0, levels.length - 1));
  },
};

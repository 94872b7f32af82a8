/** The law of the noise level that belongs to each preconditioning. */

import type { PreconditioningName } from "../networks/architectures.js";
import {
  flowPreconditioning,
  iddpmPreconditioning,
  type Preconditioning,
  subVpPreconditioning,
  vePreconditioning,
  vpPreconditioning,
} from "../networks/precondition.js";
import { logNormalLevels, type NoiseLevels, oneOfLevels, uniformTimes } from "../processes/noise-levels.js";
import { flowProcess, type Process, subVpProcess, veProcess, vpProcess } from "../processes/process.js";

/** Times between those of the smallest and the largest noise level that the network is meant for. */
function timesOf(process: Process, { sigmaMin, sigmaMax }: Preconditioning): NoiseLevels {
  return uniformTimes(process, process.sigmaInverse(sigmaMax), process.sigmaInverse(sigmaMin));
}

/**
 * EDM: ln sigma normal with mean -1.2 and deviation 1.2 (Karras et al. 2022, table 1). VE, VP, sub-VP and flow matching: the
 * time uniform. Improved DDPM: each of its levels equally likely.
 */
export const trainingLevels: Readonly<Record<PreconditioningName, () => NoiseLevels>> = {
  edm: () => logNormalLevels(-1.2, 1.2),
  vp: () => timesOf(vpProcess(), vpPreconditioning()),
  ve: () => timesOf(veProcess(vePreconditioning()), vePreconditioning()),
  subvp: () => timesOf(subVpProcess(), subVpPreconditioning()),
  flow: () => timesOf(flowProcess, flowPreconditioning()),
  iddpm: () => {
    const { levels } = iddpmPreconditioning();
    if (!levels) throw new TypeError("improved DDPM must have levels");
    return oneOfLevels(levels.subarray(0, levels.length - 1));
  },
};

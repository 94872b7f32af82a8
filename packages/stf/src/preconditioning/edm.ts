import { logNormalLevels } from "../processes/noise-levels.js";
import { edmProcess } from "../processes/process.js";
import { requireConstant, requirePositive } from "./constants.js";
import { type Preconditioning, sameChannels } from "./preconditioning.js";

/** The constants of {@link edmPreconditioning}. */
export interface EdmConstants {
  /** Standard deviation of the data: 0.5, about that of images in [-1, 1]. */
  readonly sigmaData?: number;
  /** The smallest noise level that the network covers: 0. */
  readonly sigmaMin?: number;
  /** The largest noise level that the network covers: infinite. */
  readonly sigmaMax?: number;
}

/**
 * EDM's preconditioning (Karras et al. 2022, table 1). In training ln sigma is normal with mean -1.2 and standard deviation 1.2.
 *
 * @throws UsageError unless sigmaData > 0 and 0 <= sigmaMin < sigmaMax
 */
export function edmPreconditioning({
  sigmaData = 0.5,
  sigmaMin = 0,
  sigmaMax = Number.POSITIVE_INFINITY,
}: EdmConstants = {}): Preconditioning {
  requirePositive({ sigmaData });
  const isRange = sigmaMin >= 0 && sigmaMin < sigmaMax;
  requireConstant(isRange, "sigmaMin must be at least 0 and below sigmaMax", `${sigmaMin} and ${sigmaMax}`);
  const total = (sigma: number): number => sigma ** 2 + sigmaData ** 2;
  return {
    name: "edm",
    constants: { sigmaData, sigmaMin, sigmaMax },
    process: edmProcess,
    sigmaMin,
    sigmaMax,
    coefficients: (sigma) => ({
      skip: sigmaData ** 2 / total(sigma),
      out: (sigma * sigmaData) / Math.sqrt(total(sigma)),
      in: 1 / Math.sqrt(total(sigma)),
      noise: Math.log(sigma) / 4,
    }),
    lossWeight: (sigma) => total(sigma) / (sigma * sigmaData) ** 2,
    noiseLevels: logNormalLevels(-1.2, 1.2),
    outputChannels: sameChannels,
  };
}

import { UsageError } from "../common/errors.js";
import { formatLevel } from "../common/text.js";
import { logNormalLevels } from "../processes/noise-levels.js";
import { edmProcess } from "../processes/process.js";
import { publishedLevels, requireConstant, requirePositive, requireTrainable } from "./constants.js";
import { type Preconditioning, sameChannels } from "./preconditioning.js";

/** The constants of {@link edmPreconditioning}. */
export interface EdmConstants {
  /** Standard deviation of the data: 0.5, about that of images in [-1, 1]. */
  readonly sigmaData?: number;
  /** The smallest noise level that the network covers, also in training: 0. */
  readonly sigmaMin?: number;
  /** The largest noise level that the network covers, also in training: infinite. */
  readonly sigmaMax?: number;
  /** EDM's P_mean, the mean of ln sigma in training: -1.2. */
  readonly pMean?: number;
  /** EDM's P_std, the standard deviation of ln sigma in training: 1.2. */
  readonly pStd?: number;
}

/** Beyond these, squared errors relative to the data would not be float32 numbers. */
export const dataDeviations = { least: 1e-6, most: 1e6 } as const;

/** Normal numbers from keyed randomness are closer to 0: at most sqrt(-2 ln u) with u at least 2^-53. */
const MOST_DEVIATIONS = 8.6;

/** @throws UsageError unless training has noise levels, and can use all of them */
function checkLevels({ sigmaMin, sigmaMax, pMean, pStd }: Required<Omit<EdmConstants, "sigmaData">>): void {
  requireConstant(
    sigmaMin >= 0 && sigmaMin < sigmaMax,
    "sigmaMin must be at least 0 and below sigmaMax",
    `${sigmaMin} and ${sigmaMax}`,
  );
  requireConstant(Number.isFinite(pMean), "pMean must be a finite number", pMean);
  requirePositive({ pStd });
  const [lowest, highest] = [-MOST_DEVIATIONS, MOST_DEVIATIONS].map((z) => Math.exp(pMean + z * pStd)) as [
    number,
    number,
  ];
  const drawn = { sigmaMin: Math.max(lowest, sigmaMin), sigmaMax: Math.min(highest, sigmaMax) };
  if (drawn.sigmaMin > drawn.sigmaMax) {
    throw new UsageError(
      `sigmaMin and sigmaMax must leave noise levels to train on, found ${sigmaMin} and ${sigmaMax}; those of pMean = ${pMean} and pStd = ${pStd} are from ${formatLevel(lowest)} to ${formatLevel(highest)}`,
    );
  }
  requireTrainable(drawn, "bring pMean closer to 0, lower pStd, or limit them by sigmaMin and sigmaMax");
}

/**
 * EDM's preconditioning (Karras et al. 2022, table 1). In training ln sigma is normal with mean pMean and standard deviation pStd,
 * given that sigma lies between sigmaMin and sigmaMax.
 *
 * @throws UsageError unless sigmaData > 0, 0 <= sigmaMin < sigmaMax, pStd > 0, and training has noise levels with which float32
 * can compute
 */
export function edmPreconditioning({
  sigmaData = 0.5,
  sigmaMin = 0,
  sigmaMax = Number.POSITIVE_INFINITY,
  pMean = publishedLevels.pMean,
  pStd = publishedLevels.pStd,
}: EdmConstants = {}): Preconditioning {
  requirePositive({ sigmaData });
  const { least, most } = dataDeviations;
  requireConstant(sigmaData >= least && sigmaData <= most, `sigmaData must be from ${least} to ${most}`, sigmaData);
  checkLevels({ sigmaMin, sigmaMax, pMean, pStd });
  const total = (sigma: number): number => sigma ** 2 + sigmaData ** 2;
  return {
    name: "edm",
    constants: { sigmaData, sigmaMin, sigmaMax, pMean, pStd },
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
    noiseLevels: logNormalLevels(pMean, pStd, { sigmaMin, sigmaMax }),
    outputChannels: sameChannels,
  };
}

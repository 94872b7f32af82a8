/** Preconditioning: what the raw network F sees, and how its output becomes the denoiser D. */

/** D(x; sigma) = skip x + out F(in x; noise), with F the raw network (Karras et al. 2022, equation 7). */
export interface Coefficients {
  /** c_skip: the part of the noisy image that goes around the network. */
  readonly skip: number;
  /** c_out: the factor on the network's output. */
  readonly out: number;
  /** c_in: the factor on the network's input. */
  readonly in: number;
  /** c_noise: what the network is told of the noise level. */
  readonly noise: number;
}

/** How a raw network becomes a denoiser, and how its error is weighted in training. */
export interface Preconditioning {
  /** Short name, such as "edm". */
  readonly name: string;
  /** The smallest noise level that the network is meant for. */
  readonly sigmaMin: number;
  /** The largest noise level that the network is meant for. */
  readonly sigmaMax: number;
  /** The four coefficients at a noise level, used by loss and sampler alike. */
  coefficients(sigma: number): Coefficients;
  /** lambda(sigma): the weight of the squared error of D at this noise level. */
  lossWeight(sigma: number): number;
}

/** EDM's preconditioning (Karras et al. 2022, table 1). `sigmaData` is the standard deviation of the data. */
export function edmPreconditioning({ sigmaData = 0.5 }: { sigmaData?: number } = {}): Preconditioning {
  const total = (sigma: number): number => sigma ** 2 + sigmaData ** 2;
  return {
    name: "edm",
    sigmaMin: 0,
    sigmaMax: Number.POSITIVE_INFINITY,
    coefficients: (sigma) => ({
      skip: sigmaData ** 2 / total(sigma),
      out: (sigma * sigmaData) / Math.sqrt(total(sigma)),
      in: 1 / Math.sqrt(total(sigma)),
      noise: Math.log(sigma) / 4,
    }),
    lossWeight: (sigma) => total(sigma) / (sigma * sigmaData) ** 2,
  };
}

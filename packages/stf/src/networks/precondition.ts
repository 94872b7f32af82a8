/** Preconditioning: what the raw network F sees, and how its output becomes the denoiser D. */

/** D(x; sigma) = skip x + out F(in x; noise), and the loss weight that goes with it. */
export interface Coefficients {
  readonly skip: number;
  readonly out: number;
  readonly in: number;
  readonly noise: number;
}

export interface Preconditioning {
  readonly name: string;
  /** The range of noise levels that the network is meant for. */
  readonly sigmaMin: number;
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

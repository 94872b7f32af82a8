import { noGrad, scope } from "@stf/torch";
import type { ToyDistribution } from "../data/distribution.js";
import { perturbedImages, type SampleTarget } from "./target.js";

/**
 * The posterior mean under the true distribution, which every target estimates.
 *
 * @throws TypeError when no closed form is known for the distribution.
 */
export function exactTarget({ name, dimension, denoise }: ToyDistribution): SampleTarget {
  if (!denoise) throw new TypeError(`no closed form is known for the denoiser of the ${name}`);
  return {
    needsReferences: false,
    of: (batch) =>
      noGrad(() =>
        scope(() => {
          const { sigma, source } = batch;
          const x = perturbedImages(batch).double().reshape([sigma.length, dimension]);
          return denoise(x, sigma).float().view(source.shape);
        }),
      ),
  };
}

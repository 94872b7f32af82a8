import { noGrad, scope } from "@stf/torch";
import type { ToyDistribution } from "../data/toy.js";
import type { Target } from "./target.js";

/**
 * The posterior mean under the distribution itself: what every target is an estimate of.
 *
 * @throws TypeError when no closed form is known for the distribution.
 */
export function exactTarget({ name, dimension, denoise }: ToyDistribution): Target {
  if (!denoise) throw new TypeError(`no closed form is known for the denoiser of the ${name}`);
  return ({ perturbed, sigma }) =>
    noGrad(() =>
      scope(() =>
        denoise(perturbed.double().reshape([sigma.length, dimension]), sigma)
          .float()
          .view(perturbed.shape),
      ),
    );
}

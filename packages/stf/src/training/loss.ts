/** The training loss: the error of a denoiser against a target, per value. */

import { ShapeError, scope, stack, type Tensor } from "@stf/torch";
import { augmentationLabels } from "../augmentation/labels.js";
import { column } from "../column.js";
import type { Denoiser } from "../networks/denoiser.js";
import { type Conditions, oneHot } from "../networks/network.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import { type PerturbedBatch, perturbedImages } from "../targets/target.js";

/**
 * The error of every value, `[B, C, H, W]`. Only a multiple of the squared error is minimised by the posterior mean,
 * which makes a stable target equivalent to the clean image.
 *
 * @param output - D(x; sigma), `[B, C, H, W]`
 * @param target - the desired output, of the same shape, without a gradient
 * @param sigma - `[B]`
 */
export type Loss = (output: Tensor, target: Tensor, sigma: Float64Array) => Tensor;

/** lambda(sigma) (D(x; sigma) - target)², with the weight of a preconditioning (Karras et al. 2022, table 1). */
export function weightedSquaredError(preconditioning: Pick<Preconditioning, "lossWeight">): Loss {
  return (output, target, sigma) =>
    scope(() => {
      const weights = sigma.map((level) => preconditioning.lossWeight(level));
      return output.sub(target).square().mul(column(weights, output));
    });
}

/** Options of {@link weightedError}. Labels are those of the batch when left out. */
export interface ErrorOptions extends Conditions {
  /** {@link weightedSquaredError} of the network's own preconditioning when left out. */
  readonly loss?: Loss | undefined;
}

/**
 * The error of a denoiser on noisy samples, with a gradient for its parameters, `[B, C, H, W]`: what a custom
 * training loop needs besides the backward pass.
 *
 * @param target - `[B, C, H, W]`, from a {@link Target}
 */
export function weightedError(
  network: Denoiser,
  batch: PerturbedBatch,
  target: Tensor,
  { loss = weightedSquaredError(network.preconditioning), ...conditions }: ErrorOptions = {},
): Tensor {
  const { sigma, classes, augmentation } = batch;
  return scope(() => {
    const labels = classes && network.labelDim > 0 ? oneHot(classes, network.labelDim, target) : undefined;
    const augmentLabels = augmentation && augmentationLabels(augmentation, target.device);
    const output = network.forward(perturbedImages(batch), sigma, { labels, augmentLabels, ...conditions });
    if (String(target.shape) !== String(output.shape)) {
      throw new ShapeError(`a target must have the shape of the images, [${output.shape}], found [${target.shape}]`);
    }
    return loss(output, target, sigma);
  });
}

/**
 * Adds the gradient of a multiple of the summed errors to the gradients of what they depend on.
 *
 * @returns the sums of the errors and of their squares, float64 `[2]`: on the device that computed them, because reading them
 * waits for a GPU
 */
export function addGradients(error: Tensor, factor: number): Tensor {
  return scope(() => {
    error.sum().mul(factor).backward();
    const values = error.detach();
    return stack([values.sum(), values.square().sum()]).double();
  });
}

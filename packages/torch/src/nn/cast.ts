import type { Tensor } from "../tensor.js";

/** The parameter in the dtype of the activations: layers keep float32 parameters and compute in their input's precision. */
export function likeInput(parameter: Tensor, x: Tensor): Tensor {
  const { dtype } = x;
  return parameter.dtype === dtype ? parameter : parameter.to({ dtype });
}

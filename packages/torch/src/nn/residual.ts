import { call, operator } from "../dispatch.js";
import type { Tensor } from "../tensor.js";

/** From native/kernels/residual.cc: one pass where there is a loop for it, stock operators elsewhere. */
const SCALED_ADD = operator("stf::scaled_add_");

/**
 * (self + other) scale in place, the end of a residual block. Returns `self`.
 *
 * @param other - of the shape of `self`
 * @throws TorchError when it does not fit, or when `self` is a leaf that requires a gradient.
 */
export function scaledAdd_(self: Tensor, other: Tensor, scale: number): Tensor {
  call(SCALED_ADD, self.handle, other.handle, scale);
  return self;
}

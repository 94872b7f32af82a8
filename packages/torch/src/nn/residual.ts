import { call, operator } from "../dispatch.js";
import type { Tensor } from "../tensor.js";

/** From native/kernels/residual.cc: one pass where its loop applies, stock operators elsewhere. */
const SCALED_ADD = operator("stf::scaled_add_");

/**
 * (self + other + bias) scale in place, the end of a residual block. Returns `self`.
 *
 * @param other - of the shape of `self`
 * @param bias - one number for each channel, `[C]`; none when left out
 * @throws TorchError when a shape is wrong, or when `self` is a leaf that requires a gradient.
 */
export function scaledAdd_(self: Tensor, other: Tensor, scale: number, bias: Tensor | null = null): Tensor {
  call(SCALED_ADD, self.handle, other.handle, scale, bias?.handle);
  return self;
}

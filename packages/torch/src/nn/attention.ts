import { call, operator, wrap } from "../dispatch.js";
import type { Tensor } from "../tensor.js";

/** From native/kernels/attention.cc: a loop where it applies, stock operators elsewhere. */
const ATTENTION = operator("stf::attention");

/**
 * Self-attention over the pixels of images, softmax(q kᵀ / sqrt(C)) v (Vaswani et al. 2017, equation 1), for every head of C
 * channels. Weights are computed in float32, or float64 for such inputs.
 *
 * @param qkv - `[B, 3 heads C, H, W]`; channel head * 3 C + 3 c + j holds the query (j = 0), key (1) or value (2) of channel c
 * @returns the mixed values, `[B, heads C, H, W]`, `channels_last`, in the dtype of `qkv`
 * @throws TorchError when the channels do not divide into the heads.
 */
export function attention(qkv: Tensor, heads: number): Tensor {
  return wrap(call(ATTENTION, qkv.handle, heads));
}

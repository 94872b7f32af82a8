/** Resampling images along affine maps, with a loop of the addon. */

import { call, operator, wrap } from "./dispatch.js";
import type { Tensor } from "./tensor.js";

/** From native/kernels/affine_resample.cc. */
const AFFINE_RESAMPLE = operator("stf::affine_resample");

/** Height and width of the largest planes that {@link affineResample} accepts. */
export const LONGEST_RESAMPLED_SIDE = 1024;

/**
 * Resamples planes along affine maps: each plane is padded with one reflection beyond its borders and zeros farther out, upsampled
 * by two, read bilinearly at 2 W + 10 by 2 H + 10 positions, and filtered down by two. In float32 on the CPU only. The result for a
 * plane depends neither on the other planes nor on the number of threads, except for rounding if planes are few: up to four of a
 * group are computed in shorter vectors.
 *
 * Input pixel p, counted in the mirrored axis of 3 W - 2 pixels, adds `taps[t]` times itself to position 2 p - 5 + t of the
 * upsampled axis; pixel x of the result is the sum of `taps[t]` times reading 2 x + t.
 *
 * @param planes - float32 `[groups, planes, H, W]`, neither side longer than {@link LONGEST_RESAMPLED_SIDE}
 * @param maps - float64 `[groups, 6]`, finite: reading (i, j) of the group is taken at (a i + b j + c, d i + e j + f)
 *   of the upsampled plane, i to the right and j downwards
 * @param taps - of the filter for both directions, float32 `[12]`
 * @returns float32 `[groups, planes, H, W]`; no gradient flows through it
 * @throws TorchError for other shapes or dtypes, or when `planes` require a gradient that is being recorded
 */
export function affineResample(planes: Tensor, maps: Tensor, taps: Tensor): Tensor {
  return wrap(call(AFFINE_RESAMPLE, planes.handle, maps.handle, taps.handle));
}

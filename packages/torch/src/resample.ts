/** Images along affine maps, by a loop of the addon. */

import { call, operator, wrap } from "./dispatch.js";
import type { Tensor } from "./tensor.js";

/** From native/kernels/affine_resample.cc. */
const AFFINE_RESAMPLE = operator("stf::affine_resample");

/** Height and width of the largest planes that {@link affineResample} takes. */
export const LONGEST_RESAMPLED_SIDE = 1024;

/**
 * Resamples planes along affine maps: each plane is continued mirrored once beyond its borders and zero farther out, upsampled
 * by two, read bilinearly at 2 W + 10 by 2 H + 10 places, and filtered down by two. In float32 on the CPU only. What a plane
 * becomes depends neither on the others nor on the number of threads, but for rounding where planes are few: up to four of a
 * group are computed in shorter vectors.
 *
 * The filter's pixel p, counted in the mirrored axis of 3 W - 2 pixels, adds `taps[t]` times itself to place 2 p - 5 + t of the
 * upsampled axis; pixel x of the result is the sum of `taps[t]` times place of reading 2 x + t.
 *
 * @param planes - float32 `[groups, planes, H, W]`, neither side longer than {@link LONGEST_RESAMPLED_SIDE}
 * @param maps - float64 `[groups, 6]`, finite: place of reading (i, j) of the group reads at (a i + b j + c, d i + e j + f)
 *   of the upsampled plane, i to the right and j downwards
 * @param taps - of the filter for both directions, float32 `[12]`
 * @returns float32 `[groups, planes, H, W]`; no gradient flows through it
 * @throws TorchError when something else is given, or `planes` require a gradient that is being recorded
 */
export function affineResample(planes: Tensor, maps: Tensor, taps: Tensor): Tensor {
  return wrap(call(AFFINE_RESAMPLE, planes.handle, maps.handle, taps.handle));
}

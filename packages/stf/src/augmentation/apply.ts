/** Images through their transforms. Each part touches only the images that it changes. */

import { checkShape, scope, type Tensor, tensor } from "@stf/torch";
import { changeColours, recolours } from "./colour.js";
import { affineMapOf, warps } from "./geometry.js";
import { type AugmentationParameters, type Transform, transformOf } from "./parameters.js";
import { type Flips, flipsIn, movePixels, moves, movesBeyondFlips } from "./permutation.js";
import { warp } from "./warp.js";

interface Part {
  /** Whether this part changes an image at all. */
  readonly changes: (transform: Transform) => boolean;
  /** `[n, C, H, W]` to the same; one transform for every image, or one for all. */
  readonly apply: (images: Tensor, transforms: readonly Transform[], parameters: AugmentationParameters) => Tensor;
}

/** In the order of application. */
const parts: readonly Part[] = [
  { changes: moves, apply: movePixels },
  {
    changes: warps,
    apply: (images, transforms, { settings, shape }) =>
      warp(
        images,
        transforms.map((transform) => affineMapOf(transform, settings, shape)),
      ),
  },
  { changes: recolours, apply: changeColours },
];

/** Whether a row's transform consists of flips, or of nothing. */
export function isFlipOnly(parameters: AugmentationParameters, row: number): boolean {
  const transform = transformOf(parameters, row);
  return !(movesBeyondFlips(transform) || warps(transform) || recolours(transform));
}

/** The flips of a row for which `isFlipOnly` holds. */
export function flipsOf(parameters: AugmentationParameters, row: number): Flips {
  return flipsIn(transformOf(parameters, row));
}

/**
 * Transforms each image in its own way. What one becomes does not depend on the others, but for rounding. Flips, quarter turns
 * and shifts by whole pixels keep every value to the last bit, and images without a transform stay as they are.
 *
 * @param images - `[B, C, H, W]` of the shape that the parameters were drawn for, float32 or float64, values in [-1, 1]
 * @returns a new tensor of the same shape, dtype and memory format; values may leave [-1, 1] a little
 */
export function applyAugmentation(images: Tensor, parameters: AugmentationParameters): Tensor {
  const { transforms, shape } = parameters;
  checkShape("images", images.shape, [transforms.length, shape.channels, shape.height, shape.width]);
  return scope(() => {
    const result = images.clone();
    for (const { changes, apply } of parts) {
      const rows = transforms.flatMap((transform, row) => (changes(transform) ? [row] : []));
      if (rows.length === 0) continue;
      const index = tensor(Int32Array.from(rows), { dtype: "int64", device: images.device });
      const own = rows.map((row) => transforms[row] as Transform);
      result.indexCopy_(0, index, apply(result.indexSelect(0, index), own, parameters));
    }
    return result;
  });
}

/**
 * Takes any number of images through the transform of one row, as references that share a sample's augmentation need it.
 *
 * @param images - `[n, C, H, W]` of the shape that the parameters were drawn for
 * @returns a new tensor of the same shape and dtype
 */
export function transformWith(images: Tensor, parameters: AugmentationParameters, row: number): Tensor {
  const { channels, height, width } = parameters.shape;
  checkShape("images", images.shape, [null, channels, height, width]);
  const transform = transformOf(parameters, row);
  return scope(() => {
    const changing = parts.filter(({ changes }) => changes(transform));
    if (changing.length === 0) return images.clone();
    return changing.reduce((current, { apply }) => apply(current, [transform], parameters), images);
  });
}

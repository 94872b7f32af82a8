/** Applies transforms to images. Each stage processes only the images that it changes. */

import { checkShape, scope, type Tensor, tensor } from "@stf/torch";
import { changeColours, recolours } from "./colour.js";
import { affineMapOf, warps } from "./geometry.js";
import { type AugmentationParameters, type Transform, transformOf } from "./parameters.js";
import { type Flips, flipsIn, movePixels, moves, movesBeyondFlips } from "./permutation.js";
import { warp } from "./warp.js";

interface Part {
  /** Whether this stage changes an image. */
  readonly changes: (transform: Transform) => boolean;
  /** `[n, C, H, W]` to the same; n transforms, or fewer, each for an equal number of images in a row. */
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

/** Whether a row's transform consists of flips only, or is the identity. */
export function isFlipOnly(parameters: AugmentationParameters, row: number): boolean {
  const transform = transformOf(parameters, row);
  return !(movesBeyondFlips(transform) || warps(transform) || recolours(transform));
}

/** The flips of a row for which `isFlipOnly` holds. */
export function flipsOf(parameters: AugmentationParameters, row: number): Flips {
  return flipsIn(transformOf(parameters, row));
}

/** Applies the transform of each row to its images, `[B, K * C * H * W]`. A new tensor. */
function applyTo(rows: Tensor, { transforms, settings, shape }: AugmentationParameters): Tensor {
  const { channels, height, width } = shape;
  const [, size] = rows.shape as [number, number];
  const perRow = size / (channels * height * width);
  return scope(() => {
    if (perRow === 0) return rows.clone();
    let result = rows;
    for (const { changes, apply } of parts) {
      const changing = transforms.flatMap((transform, row) => (changes(transform) ? [row] : []));
      if (changing.length === 0) continue;
      const own = changing.map((row) => transforms[row] as Transform);
      const transformed = (images: Tensor): Tensor =>
        apply(images.reshape([own.length * perRow, channels, height, width]), own, {
          transforms: own,
          settings,
          shape,
        }).view([own.length, size]);
      if (own.length === transforms.length) {
        result = transformed(result);
        continue;
      }
      const index = tensor(Int32Array.from(changing), { dtype: "int64", device: rows.device });
      if (result === rows) result = rows.clone();
      result.indexCopy_(0, index, transformed(result.indexSelect(0, index)));
    }
    return result === rows ? rows.clone() : result;
  });
}

/**
 * Transforms each image with its own transform. The result does not depend on the other images, up to rounding. Flips, quarter turns
 * and shifts by whole pixels keep every value to the last bit, and images without a transform are unchanged.
 *
 * @param images - `[B, C, H, W]` of the shape that the parameters were drawn for, float32 or float64, values in [-1, 1]
 * @returns a new tensor of the same shape, dtype and memory format; values may slightly exceed [-1, 1]
 */
export function applyAugmentation(images: Tensor, parameters: AugmentationParameters): Tensor {
  const { transforms, shape } = parameters;
  const { channels, height, width } = shape;
  checkShape("images", images.shape, [transforms.length, channels, height, width]);
  return scope(() => {
    const rows = applyTo(images.reshape([transforms.length, channels * height * width]), parameters);
    const result = rows.view(images.shape);
    return `${result.strides}` === `${images.strides}` ? result : images.emptyLike().copy_(result);
  });
}

/**
 * Applies the transform of one row to any number of images, as needed for references that share a sample's augmentation.
 *
 * @param images - `[n, C, H, W]` of the shape that the parameters were drawn for
 * @returns a new tensor of the same shape and dtype
 */
export function transformWith(images: Tensor, parameters: AugmentationParameters, row: number): Tensor {
  const { channels, height, width } = parameters.shape;
  checkShape("images", images.shape, [null, channels, height, width]);
  const own = { ...parameters, transforms: [transformOf(parameters, row)] };
  return scope(() => applyTo(images.reshape([1, images.size(0) * channels * height * width]), own).view(images.shape));
}

/**
 * Transforms differences of images. A transform is affine in the image: T(x) - T(y) is a linear map of x - y, that of a
 * transform without brightness. Taking differences first is exact if they are, however close the images are.
 *
 * @param differences - `[B, K, C, H, W]`: K for each transform, float32 or float64
 * @returns a new tensor of the same shape and dtype
 */
export function transformDifferences(differences: Tensor, parameters: AugmentationParameters): Tensor {
  const { transforms, shape } = parameters;
  const { channels, height, width } = shape;
  checkShape("differences", differences.shape, [transforms.length, null, channels, height, width]);
  const linear = { ...parameters, transforms: transforms.map((transform) => ({ ...transform, brightness: 0 })) };
  const size = differences.size(1) * channels * height * width;
  return scope(() => applyTo(differences.reshape([transforms.length, size]), linear).view(differences.shape));
}

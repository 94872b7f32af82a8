/** Bilinear resizing as TensorFlow 1 did it, which published Fréchet distances depend on. */

import { arange, scope, type Tensor } from "@stf/torch";

/** Interpolates along an axis: element i of the result is at i * (size / count) of the input. */
function interpolate(x: Tensor, axis: number, count: number): Tensor {
  const size = x.size(axis);
  const { device } = x;
  // In float32, as TensorFlow computes them: rounding decides between two pixels where the exact position is whole.
  const positions = arange(0, count, 1, { dtype: "float32", device }).mul_(Math.fround(size / count));
  const first = positions.floor();
  const second = first.add(1).clamp_(null, size - 1);
  const shape = x.shape.map((_, i) => (i === axis ? count : 1));
  const fractions = positions.sub_(first).reshape(shape);
  const start = x.indexSelect(axis, first.to({ dtype: "int64" }));
  const end = x.indexSelect(axis, second.to({ dtype: "int64" }));
  return end.sub_(start).mul_(fractions).add_(start);
}

/**
 * Resizes images as `tf.image.resize_bilinear` of TensorFlow 1 with `align_corners=False`: pixel i of the result is
 * interpolated at i * (size / newSize) of the input, without regard to the centres of pixels, which shifts the image; shrinking
 * does not average. The operations and their order are TensorFlow's, in float32.
 *
 * @param images - float32 `[B, C, H, W]`
 * @returns float32 `[B, C, height, width]`
 */
export function tensorflowResize(images: Tensor, height: number, width: number): Tensor {
  return scope(() => interpolate(interpolate(images, 3, width), 2, height));
}

/** Flips, quarter turns and shifts by whole pixels: they move values and change none. */

import { ShapeError, scope, type Tensor, tensor } from "@stf/torch";
import type { Transform } from "./parameters.js";
import { reflect } from "./reflect.js";

/** Which axes of an image are reversed. */
export interface Flips {
  /** Left and right are exchanged. */
  readonly horizontal: boolean;
  /** Top and bottom are exchanged. */
  readonly vertical: boolean;
}

/** The flips among the whole-pixel moves: a quarter turn is a flip of one axis, and a transposition after it. */
export function flipsIn({ xflip, yflip, rotateInt }: Transform): Flips {
  return {
    horizontal: (xflip === 1) !== (rotateInt === 1 || rotateInt === 2),
    vertical: (yflip === 1) !== (rotateInt === 2 || rotateInt === 3),
  };
}

const isTransposed = ({ rotateInt }: Transform): boolean => rotateInt % 2 === 1;

/** Whether pixels change places in some way that is not a flip. */
export function movesBeyondFlips(transform: Transform): boolean {
  return isTransposed(transform) || transform.translateIntX !== 0 || transform.translateIntY !== 0;
}

/** Whether any pixel changes its place. */
export function moves(transform: Transform): boolean {
  const { horizontal, vertical } = flipsIn(transform);
  return horizontal || vertical || movesBeyondFlips(transform);
}

/** For every pixel of the result, row by row, the pixel of the image that it comes from. */
function writeSources(target: Int32Array, transform: Transform, height: number, width: number): void {
  const { horizontal, vertical } = flipsIn(transform);
  const { translateIntX, translateIntY } = transform;
  const transposed = isTransposed(transform);
  for (let y = 0; y < height; y++) {
    const shiftedY = reflect(y + translateIntY, height);
    for (let x = 0; x < width; x++) {
      const shiftedX = reflect(x - translateIntX, width);
      const row = transposed ? shiftedX : shiftedY;
      const column = transposed ? shiftedY : shiftedX;
      target[y * width + x] = (vertical ? height - 1 - row : row) * width + (horizontal ? width - 1 - column : column);
    }
  }
}

/**
 * Moves the pixels of each image.
 *
 * @param images - `[n, C, H, W]`
 * @param transforms - n of them, or fewer, each for an equal number of images in a row
 * @throws ShapeError for a quarter turn of an image that is not square
 */
export function movePixels(images: Tensor, transforms: readonly Transform[]): Tensor {
  const [count, channels, height, width] = images.shape as [number, number, number, number];
  if (height !== width && transforms.some(isTransposed)) {
    throw new ShapeError(`only square images can be turned, found ${height} x ${width}; leave rotateInt out`);
  }
  return scope(() => {
    const pixels = height * width;
    const sources = new Int32Array(transforms.length * pixels);
    transforms.forEach((transform, i) => {
      writeSources(sources.subarray(i * pixels, (i + 1) * pixels), transform, height, width);
    });
    const index = tensor(sources, { shape: [transforms.length, 1, pixels], device: images.device, dtype: "int64" });
    const planes = (count / transforms.length) * channels;
    const flat = images.reshape([transforms.length, planes, pixels]);
    return flat.gather(2, index.expand([-1, planes, -1])).view([count, channels, height, width]);
  });
}

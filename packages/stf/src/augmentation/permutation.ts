/** Flips, quarter turns and shifts by whole pixels: they move values and change none. */

import { ShapeError, scope, type Tensor, tensor } from "@stf/torch";
import type { Transform } from "./parameters.js";
import { reflect } from "./reflect.js";

/** Which axes of an image are reversed. */
export interface Flips {
  /** Left and right are swapped. */
  readonly horizontal: boolean;
  /** Top and bottom are swapped. */
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

/** Whether pixels move in a way that is not a flip. */
export function movesBeyondFlips(transform: Transform): boolean {
  return isTransposed(transform) || transform.translateIntX !== 0 || transform.translateIntY !== 0;
}

/** Whether any pixel moves. */
export function moves(transform: Transform): boolean {
  const { horizontal, vertical } = flipsIn(transform);
  return horizontal || vertical || movesBeyondFlips(transform);
}

/** For every pixel of the result, row by row, the pixel of the image that it comes from. */
function sourcesOf(transform: Transform, height: number, width: number): Int32Array {
  const { horizontal, vertical } = flipsIn(transform);
  const { translateIntX, translateIntY } = transform;
  const transposed = isTransposed(transform);
  const sources = new Int32Array(height * width);
  for (let y = 0; y < height; y++) {
    const shiftedY = reflect(y + translateIntY, height);
    for (let x = 0; x < width; x++) {
      const shiftedX = reflect(x - translateIntX, width);
      const row = transposed ? shiftedX : shiftedY;
      const column = transposed ? shiftedY : shiftedX;
      sources[y * width + x] = (vertical ? height - 1 - row : row) * width + (horizontal ? width - 1 - column : column);
    }
  }
  return sources;
}

/** Transforms that move pixels in the same way, by their positions. There are few such groups: three with flips only. */
function positionsByMove(transforms: readonly Transform[]): number[][] {
  const moves = new Map<string, number[]>();
  transforms.forEach((transform, i) => {
    const { horizontal, vertical } = flipsIn(transform);
    const key = [
      horizontal,
      vertical,
      isTransposed(transform),
      transform.translateIntX,
      transform.translateIntY,
    ].join();
    const positions = moves.get(key);
    if (positions) positions.push(i);
    else moves.set(key, [i]);
  });
  return [...moves.values()];
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
  const [pixels, { device }] = [height * width, images];
  return scope(() => {
    const rows = images.reshape([transforms.length, (count / transforms.length) * channels, pixels]);
    const result = rows.emptyLike();
    for (const positions of positionsByMove(transforms)) {
      const index = tensor(Int32Array.from(positions), { device, dtype: "int64" });
      const sources = sourcesOf(transforms[positions[0] as number] as Transform, height, width);
      const moving = rows.indexSelect(0, index);
      // With `gather`, because `indexSelect` passes over memory once per pixel.
      const places = tensor(sources, { device, dtype: "int64" }).expand(moving.shape);
      result.indexCopy_(0, index, moving.gather(2, places));
    }
    return result.view([count, channels, height, width]);
  });
}

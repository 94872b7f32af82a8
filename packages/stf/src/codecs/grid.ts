/** A grid of images in one file. */

import type { ImageShape } from "../common/image-shape.js";
import { writePng } from "./png.js";

/** Tiles images, each in the order C, H, W, into a grid with `columns` columns. */
export function tile(
  images: readonly Uint8Array[],
  shape: ImageShape,
  columns: number,
): { planes: Uint8Array; shape: ImageShape } {
  const { channels, height, width } = shape;
  const rows = Math.ceil(images.length / columns);
  const whole = { channels, height: rows * height, width: columns * width };
  const planes = new Uint8Array(channels * whole.height * whole.width);
  images.forEach((image, index) => {
    const top = Math.floor(index / columns) * height;
    const left = (index % columns) * width;
    for (let c = 0; c < channels; c++) {
      for (let y = 0; y < height; y++) {
        const from = (c * height + y) * width;
        planes.set(image.subarray(from, from + width), (c * whole.height + top + y) * whole.width + left);
      }
    }
  });
  return { planes, shape: whole };
}

/** Writes images as a grid, by default as close to square as their number allows. */
export function writeGrid(
  path: string,
  images: readonly Uint8Array[],
  shape: ImageShape,
  columns = Math.ceil(Math.sqrt(images.length)),
): void {
  const grid = tile(images, shape, columns);
  writePng(path, grid.planes, grid.shape);
}

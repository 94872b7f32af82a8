/** Images as planes, in the order C, H, W, and interleaved as in files, in the order H, W, C. */

import type { Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";

/** The images of a uint8 batch `[B, C, H, W]`, each as its own bytes in the order C, H, W. */
export function imagesOf(batch: Tensor): Uint8Array[] {
  const bytes = batch.toTypedArray() as Uint8Array;
  const size = bytes.length / batch.size(0);
  return Array.from({ length: batch.size(0) }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
}

/** Interleaves planes: C, H, W to H, W, C. */
export function interleave(planes: Uint8Array, { channels, height, width }: ImageShape): Uint8Array {
  if (channels === 1) return planes;
  const area = height * width;
  const pixels = new Uint8Array(planes.length);
  for (let c = 0; c < channels; c++) {
    for (let i = 0; i < area; i++) pixels[i * channels + c] = planes[c * area + i] as number;
  }
  return pixels;
}

/**
 * Separates planes: H, W, C to C, H, W.
 *
 * @param stored - channels of the pixels, of which the first are taken
 */
export function deinterleave(
  pixels: ArrayLike<number>,
  { channels, height, width }: ImageShape,
  stored = channels,
): Uint8Array {
  const area = height * width;
  const planes = new Uint8Array(channels * area);
  if (channels === 3) {
    // In one pass, which halves the time of the commonest case.
    for (let i = 0, from = 0; i < area; i++, from += stored) {
      planes[i] = pixels[from] as number;
      planes[area + i] = pixels[from + 1] as number;
      planes[2 * area + i] = pixels[from + 2] as number;
    }
    return planes;
  }
  for (let c = 0; c < channels; c++) {
    for (let i = 0, from = c; i < area; i++, from += stored) planes[c * area + i] = pixels[from] as number;
  }
  return planes;
}

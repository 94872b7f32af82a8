/** Samples beside the training images nearest to them, as one picture. */

import { writeGrid } from "../codecs/grid.js";
import type { ImageShape } from "../common/image-shape.js";

/** A sample and the training image nearest to it, bytes in the order C, H, W. */
export type Pair = readonly [sample: Uint8Array, nearest: Uint8Array];

const PAIRS_IN_A_ROW = 4;

/** Writes pairs as a grid, the sample on the left of its training image. */
export function writePairs(path: string, pairs: readonly Pair[], shape: ImageShape): void {
  writeGrid(path, pairs.flat(), shape, 2 * Math.min(pairs.length, PAIRS_IN_A_ROW));
}

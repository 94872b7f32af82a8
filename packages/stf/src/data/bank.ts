/** The interface of a data set in memory, for training and targets: rows of values, read by index. */

import type { Device, Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";

/** What is known of the N items of a data set, of D values each, wherever they are. */
export interface Items {
  /** Name of the data set in file names and checkpoints. */
  readonly name: string;
  /** Shape of one item; D = channels * height * width. */
  readonly shape: ImageShape;
  /** N */
  readonly count: number;
  /** D */
  readonly dimension: number;
  /** Device of the items. */
  readonly device: Device;
  /** Class of each item, or undefined. */
  readonly labels: Int32Array | undefined;
  /** The bank's own units per unit of the network's input values. */
  readonly unit: number;
  /** Rows, or weighted means of rows, as network input values, float32 `[rows, D]`. */
  toValues(rows: Tensor): Tensor;
  /** Network input values in own units, not rounded to the items' values, float64 of the same shape. */
  fromValues(values: Tensor): Tensor;
}

/**
 * Items in the memory of this process, in units of the bank's own in which distances between items can be computed exactly: they must
 * not suffer from rounding when the noise is small (see targets/stable-field.ts).
 */
export interface Bank extends Items {
  /** Every item in own units, uint8 or float64 `[N, D]`. */
  readonly rows: Tensor;
  /** Items by index, in own units, `[indices.length, D]`. */
  gather(indices: Int32Array): Tensor;
}

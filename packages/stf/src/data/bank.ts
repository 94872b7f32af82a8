/** What training and targets ask of a data set that lies in memory: rows of values, read by index. */

import type { Device, Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";

/**
 * N items of D values each, in units of the bank's own in which distances between items can be computed exactly: they must
 * not suffer from rounding when the noise is small (see targets/stable-field.ts).
 */
export interface Bank {
  /** What the data set is called in file names and checkpoints. */
  readonly name: string;
  /** Of one item; D = channels * height * width. */
  readonly shape: ImageShape;
  /** N */
  readonly count: number;
  /** D */
  readonly dimension: number;
  /** Where the items lie. */
  readonly device: Device;
  /** Class of each item, or undefined. */
  readonly labels: Int32Array | undefined;
  /** How many of the bank's own units make a distance of 1 in the values that networks see. */
  readonly unit: number;
  /** Every item in own units, uint8 or float64 `[N, D]`. */
  readonly rows: Tensor;
  /** Items by index, in own units, `[indices.length, D]`. */
  gather(indices: Int32Array): Tensor;
  /** Rows, or weighted means of rows, as the values that networks see, float32 `[rows, D]`. */
  toValues(rows: Tensor): Tensor;
  /** Values that networks see in own units, without rounding to those of the items, float64 of the same shape. */
  fromValues(values: Tensor): Tensor;
}

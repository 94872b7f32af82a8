/** What training and targets ask of a data set that lies in memory: rows of values, read by index. */

import type { Device, Tensor } from "@stf/torch";

/** Channels, height and width. */
export interface ImageShape {
  /** C: 1 for grey images, 3 for RGB. */
  readonly channels: number;
  /** H, in pixels. */
  readonly height: number;
  /** W, in pixels. */
  readonly width: number;
}

/**
 * N items of D values each. Rows come in units of the bank's own, chosen so that products of rows can be computed
 * exactly: distances between items must not suffer from rounding when the noise is small (see targets/stable-field.ts).
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
  /** ||row||² of every item in own units, float64 `[N]`. */
  readonly squaredNorms: Tensor;
  /** Items by index, in own units, `[indices.length, D]`. */
  rows(indices: Int32Array): Tensor;
  /** Items `first` to `first + length - 1`, in own units, `[length, D]`. */
  rowRange(first: number, length: number): Tensor;
  /** Inner products with rows in own units, float64 `[left rows, right rows]`; exact where `left` holds such rows too. */
  products(left: Tensor, right: Tensor): Tensor;
  /** Rows, or weighted means of rows, as the values that networks see, float32 `[rows, D]`. */
  toValues(rows: Tensor): Tensor;
}

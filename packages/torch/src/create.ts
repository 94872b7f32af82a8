/** Creating tensors from JavaScript's numbers and typed arrays. */

import {
  type Device,
  type DType,
  dtypeCode,
  dtypeOfArray,
  elementSize,
  type Scalar,
  type TypedArray,
} from "./dtype.js";
import { ShapeError } from "./errors.js";
import { native } from "./native.js";
import { arange as arangeRange, full as fullWithInferredDtype } from "./operators.generated.js";
import { elementCount, formatShape } from "./shape.js";
import { type NestedArray, Tensor } from "./tensor.js";

/** The element type and device of a new tensor. */
export interface TensorOptions {
  /** Element type; each function documents its default. */
  dtype?: DType;
  /** The CPU when left out. */
  device?: Device;
}

function shapeOf(data: NestedArray): number[] {
  const shape: number[] = [];
  for (let level = data; Array.isArray(level); level = level[0] ?? 0) {
    shape.push(level.length);
    if (level.length === 0) break;
  }
  return shape;
}

function flattenInto(
  target: Float64Array,
  data: NestedArray,
  shape: readonly number[],
  axis: number,
  offset: number,
): number {
  if (!Array.isArray(data)) {
    if (axis !== shape.length) throw new ShapeError("the nested arrays differ in depth");
    target[offset] = data;
    return offset + 1;
  }
  if (axis >= shape.length) throw new ShapeError("the nested arrays differ in depth");
  if (data.length !== shape[axis]) {
    throw new ShapeError(`the nested arrays differ in length along axis ${axis}: ${shape[axis]} and ${data.length}`);
  }
  let next = offset;
  for (const element of data) next = flattenInto(target, element, shape, axis + 1, next);
  return next;
}

function fromTypedArray(data: TypedArray, shape: readonly number[], { dtype, device = "cpu" }: TensorOptions): Tensor {
  // 16-bit patterns may be either half precision; every other array type determines its elements.
  const isHalf = data instanceof Uint16Array && (dtype === "float16" || dtype === "bfloat16");
  const stored = isHalf ? dtype : dtypeOfArray(data);
  if (elementCount(shape) * elementSize(stored) !== data.byteLength) {
    throw new ShapeError(`${data.length} elements do not fill the shape ${formatShape(shape)}`);
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const tensor = new Tensor(native.fromBytes(bytes, dtypeCode(stored), shape, device));
  const target = dtype ?? stored;
  if (target === stored) return tensor;
  using original = tensor;
  return original.to({ dtype: target });
}

/**
 * A tensor that holds a copy of `data`: a number, nested arrays of numbers, or a typed array with a `shape`.
 * Plain numbers become float32 unless `dtype` says otherwise; a typed array keeps its own element type.
 *
 * @param options.shape - sizes of the axes; those of the nested arrays, or one axis for a typed array, when left out
 * @throws ShapeError when nested arrays are ragged or the data do not fill the shape; TypeError for a Uint16Array
 * without a `dtype`, as it may hold either half precision.
 */
export function tensor(
  data: NestedArray | TypedArray,
  options: TensorOptions & { shape?: readonly number[] } = {},
): Tensor {
  if (typeof data === "object" && !Array.isArray(data))
    return fromTypedArray(data, options.shape ?? [data.length], options);
  const found = shapeOf(data);
  const flat = new Float64Array(elementCount(found));
  flattenInto(flat, data, found, 0, 0);
  const shape = options.shape ?? found;
  return fromTypedArray(flat, shape, { dtype: "float32", ...options });
}

/** A tensor of `shape` with all elements equal to `value`; float32 unless `dtype` says otherwise. */
export function full(
  shape: readonly number[],
  value: Scalar,
  { dtype = "float32", device }: TensorOptions = {},
): Tensor {
  return fullWithInferredDtype(shape, value, { dtype, device });
}

/**
 * The numbers from `start` (0 when left out) up to, not including, `end`, in steps of `step`; int64 when all are whole,
 * as in PyTorch.
 *
 * @throws TorchError when `step` is zero or leads away from `end`.
 */
export function arange(end: number): Tensor;
export function arange(start: number, end: number, step?: number, options?: TensorOptions): Tensor;
export function arange(start: number, end?: number, step = 1, options: TensorOptions = {}): Tensor {
  return end === undefined ? arangeRange(0, start) : arangeRange(start, end, step, options);
}

/** Tensors and storages as PyTorch's files describe them, before anything is read for them. */

import { type DType, dtypeCode, elementSize } from "../dtype.js";
import { FileFormatError } from "../errors.js";
import { native } from "../native.js";
import { elementCount, formatShape } from "../shape.js";
import { Tensor } from "../tensor.js";
import type { PickleObject, PickleValue } from "./pickle.js";

/** Some bytes of a storage. */
export type ReadBytes = (begin: number, length: number) => Uint8Array;

/** An array of elements that tensors are views of. */
export class StoredStorage implements PickleObject {
  readonly dtype: DType;
  /** Number of elements. */
  readonly length: number;
  /** Older files hold the bytes of all storages after the pickle, so this is set later. */
  read: ReadBytes | undefined;

  constructor(dtype: DType, length: number, read?: ReadBytes) {
    this.dtype = dtype;
    this.length = length;
    this.read = read;
  }

  setState(): never {
    throw new FileFormatError("the pickle sets the state of a storage, which has none");
  }
}

/** Whether a value is a number of elements. */
export const isSize = (value: PickleValue | undefined): value is number =>
  typeof value === "number" && Number.isSafeInteger(value) && value >= 0;

function isSizes(value: PickleValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isSize);
}

/** The strides, in elements, of a tensor without gaps whose last axis is fastest. */
function contiguousStrides(shape: readonly number[]): number[] {
  return shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
}

/** More axes than any network has; libtorch itself refuses some operations beyond this. */
const MOST_AXES = 64;

/** A view of a storage: what a file says about a tensor. `toTensor` reads it. */
export class StoredTensor implements PickleObject {
  /** Type of its elements. */
  readonly dtype: DType;
  /** Sizes of the axes. */
  readonly shape: readonly number[];
  readonly #strides: readonly number[];
  readonly #storage: StoredStorage;
  /** First element, in elements of the tensor. */
  readonly #offset: number;

  /** @throws FileFormatError when the view reaches outside its storage, or has more elements than that */
  constructor(
    storage: PickleValue | undefined,
    offset: PickleValue | undefined,
    shape: PickleValue | undefined,
    strides: PickleValue | undefined,
    dtype?: DType,
  ) {
    if (!(storage instanceof StoredStorage) || !isSize(offset) || !isSizes(shape) || !isSizes(strides)) {
      throw new FileFormatError("the pickle has a tensor that is not a view of a storage");
    }
    if (shape.length !== strides.length || shape.length > MOST_AXES) {
      throw new FileFormatError(`the pickle has a tensor of ${shape.length} axes with ${strides.length} strides`);
    }
    this.dtype = dtype ?? storage.dtype;
    this.shape = shape;
    this.#strides = strides;
    this.#storage = storage;
    this.#offset = offset;
    const available = (storage.length * elementSize(storage.dtype)) / elementSize(this.dtype);
    const count = elementCount(shape);
    // Beside a zero, sizes may be so large that libtorch cannot count with them.
    const isCountable = Number.isSafeInteger(elementCount(shape.filter((size) => size > 0)));
    if (!isCountable || count > available || (count > 0 && offset + this.#extent > available)) {
      throw new FileFormatError(
        `the pickle has a tensor of the shape ${formatShape(shape)} that does not fit into its ${available} stored elements`,
      );
    }
  }

  /** Number of elements from the first to the last, including those between; 0 when there are none. */
  get #extent(): number {
    if (this.shape.includes(0)) return 0;
    return 1 + this.shape.reduce((sum, size, axis) => sum + (size - 1) * (this.#strides[axis] as number), 0);
  }

  /** Bytes of its elements. */
  get byteLength(): number {
    return elementCount(this.shape) * elementSize(this.dtype);
  }

  /** Ignores what Python code has attached to a tensor. */
  setState(): void {}

  /** A contiguous copy of the elements. */
  toTensor(): Tensor {
    const { dtype, shape } = this;
    const size = elementSize(dtype);
    const extent = this.#extent;
    if (!this.#storage.read) throw new FileFormatError("it lacks the elements of a tensor");
    const bytes = this.#storage.read(this.#offset * size, extent * size);
    const isContiguous = contiguousStrides(shape).every((stride, axis) => {
      return shape[axis] === 1 || stride === this.#strides[axis];
    });
    if (isContiguous || extent === 0) return new Tensor(native.fromBytes(bytes, dtypeCode(dtype), shape, "cpu"));
    using flat = new Tensor(native.fromBytes(bytes, dtypeCode(dtype), [extent], "cpu"));
    using view = flat.asStrided(shape, this.#strides);
    return view.contiguous();
  }
}

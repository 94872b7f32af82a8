/** The tensor: a handle to libtorch's, with typed operators, reading back, and an explicit end of life. */

import { inspect } from "node:util";
import { call, operator, setTensorClass, wrap } from "./dispatch.js";
import {
  type Device,
  type DType,
  dtypeCode,
  dtypeOfCode,
  type MemoryFormat,
  memoryFormatCode,
  type Scalar,
  type TypedArray,
  type TypedArrays,
  viewAs,
} from "./dtype.js";
import { ShapeError } from "./errors.js";
import { type Handle, native } from "./native.js";
import { Operators } from "./operators.generated.js";
import { disposeTracked, type Frame, track } from "./scope.js";
import { elementCount, formatShape } from "./shape.js";

const TO = operator("aten::to.dtype_layout");
const ITEM = operator("aten::item");

/** Numbers nested as deep as the tensor has axes. */
export type NestedArray = number | NestedArray[];

/** How {@link Tensor.backward} differentiates. */
export interface BackwardOptions {
  /** The gradient of what is differentiated with respect to this tensor; needed unless this tensor has one element. */
  gradient?: Tensor;
  /** Keep the graph for a second backward pass. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for derivatives of higher order. */
  createGraph?: boolean;
}

/**
 * An array of numbers of one element type on one device.
 *
 * Methods carry PyTorch's names in camelCase; a trailing underscore works in place. A tensor made inside `scope()` ends
 * with it; [docs/memory.md](../../../docs/memory.md) has the rules. Methods whose description is a schema, such as
 * `aten::relu(Tensor self) -> Tensor`, do what `torch.relu` does, and throw a {@link TorchError} that names the
 * operator and the shapes.
 */
export class Tensor extends Operators {
  /** The addon's number for the tensor; never reused. */
  readonly handle: Handle;
  /** The scope that frees this tensor; kept by scope.ts. */
  frame: Frame | undefined;

  /** Takes over a handle from the addon. Tensors are made by `tensor`, `zeros` and their like. */
  constructor(handle: Handle) {
    super();
    this.handle = handle;
    this.frame = undefined;
    track(this);
  }

  /** Sizes of the axes. */
  get shape(): number[] {
    return native.shape(this.handle);
  }

  /** Steps between neighbours along each axis, in elements. */
  get strides(): number[] {
    return native.strides(this.handle);
  }

  /** Number of axes. */
  get rank(): number {
    return this.shape.length;
  }

  /** Number of elements. */
  get numel(): number {
    return elementCount(this.shape);
  }

  /** Element type. */
  get dtype(): DType {
    return dtypeOfCode(native.scalarType(this.handle));
  }

  /** Where the elements are stored. */
  get device(): Device {
    return native.device(this.handle) as Device;
  }

  /**
   * Size of axis `axis`; negative axes count from the end.
   *
   * @throws ShapeError when the axis does not exist.
   */
  size(axis: number): number {
    const { shape } = this;
    const size = shape.at(axis);
    if (size === undefined) throw new ShapeError(`axis ${axis} is outside the shape ${formatShape(shape)}`);
    return size;
  }

  /** Whether this tensor was disposed, or its scope ended. */
  get isDisposed(): boolean {
    return !native.isLive(this.handle);
  }

  /** Frees this tensor's reference to its storage; calling it again has no effect. */
  dispose(): void {
    disposeTracked(this);
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }

  /**
   * The same elements with another dtype, device or memory format: a new tensor, which shares the storage if nothing
   * changes.
   *
   * @throws TorchError when this libtorch has no such device.
   */
  to(options: {
    dtype?: DType;
    device?: Device;
    memoryFormat?: MemoryFormat;
    /** Whether the elements are copied even if nothing changes. */
    copy?: boolean;
    /** Whether a copy between CPU and CUDA may run asynchronously. */
    nonBlocking?: boolean;
  }): Tensor {
    const { dtype, device, memoryFormat, copy = false, nonBlocking = false } = options;
    return wrap(
      call(
        TO,
        this.handle,
        dtypeCode(dtype),
        undefined,
        device,
        undefined,
        nonBlocking,
        copy,
        memoryFormatCode(memoryFormat),
      ),
    );
  }

  /** As float32. */
  float(): Tensor {
    return this.to({ dtype: "float32" });
  }

  /** As float64. */
  double(): Tensor {
    return this.to({ dtype: "float64" });
  }

  /**
   * The only element of a tensor that has one.
   *
   * @throws TorchError when it has more, or none.
   */
  item(): number {
    return Number(call(ITEM, this.handle) as Scalar);
  }

  /** A copy of the elements in row-major order. Half precision arrives as 16-bit patterns; see `toFloat32Array`. */
  toTypedArray(): TypedArray {
    return viewAs(this.dtype, native.toBytes(this.handle));
  }

  /** A copy of the elements in row-major order, converted to float32. */
  toFloat32Array(): Float32Array {
    return this.copyAs("float32");
  }

  /** A copy of the elements in row-major order, converted to float64. */
  toFloat64Array(): Float64Array {
    return this.copyAs("float64");
  }

  private copyAs<D extends DType>(dtype: D): TypedArrays[D] {
    using converted = this.to({ dtype, copy: true });
    return viewAs(dtype, native.toBytes(converted.handle));
  }

  /** The elements as numbers nested by axis. */
  toArray(): NestedArray {
    const flat = this.toFloat64Array();
    const nest = (shape: readonly number[], offset: number): NestedArray => {
      const [size, ...inner] = shape;
      if (size === undefined) return flat[offset] ?? Number.NaN;
      const step = elementCount(inner);
      return Array.from({ length: size }, (_, i) => nest(inner, offset + i * step));
    };
    return nest(this.shape, 0);
  }

  /** Whether operations on this tensor are recorded for the backward pass. */
  get requiresGrad(): boolean {
    return native.requiresGradient(this.handle);
  }

  /**
   * Sets `requiresGrad` and returns this tensor.
   *
   * @throws TorchError when it is not a leaf, or its dtype is neither floating point nor complex.
   */
  requiresGrad_(flag = true): this {
    native.setRequiresGradient(this.handle, flag);
    return this;
  }

  /** Whether this tensor is not the result of a recorded operation. */
  get isLeaf(): boolean {
    return native.isLeaf(this.handle);
  }

  /** The gradient that backward passes have summed up here, or null. A new handle to the same storage at each access. */
  get grad(): Tensor | null {
    const handle = native.gradient(this.handle);
    return handle === null ? null : wrap(handle);
  }

  /** @throws TorchError when the gradient has another shape or dtype than this tensor. */
  set grad(gradient: Tensor | null) {
    native.setGradient(this.handle, gradient?.handle ?? null);
  }

  /**
   * Adds the gradient of this tensor to `grad` of every leaf it was computed from.
   *
   * @throws TorchError when this tensor has several elements and no `gradient` is given, or the graph was freed.
   */
  backward({ gradient, retainGraph = false, createGraph = false }: BackwardOptions = {}): void {
    native.backward([this.handle], gradient && [gradient.handle], retainGraph || createGraph, createGraph);
  }

  /** "Tensor float32[2, 3] cpu". */
  override toString(): string {
    return this.isDisposed ? "Tensor (disposed)" : `Tensor ${this.dtype}${formatShape(this.shape)} ${this.device}`;
  }

  /** What console.log shows: small tensors with their elements. */
  [inspect.custom](): string {
    if (this.isDisposed || this.numel > 64 || this.dtype.startsWith("complex")) return this.toString();
    return `${this.toString()} ${JSON.stringify(this.toArray())}`;
  }
}

setTensorClass(Tensor);

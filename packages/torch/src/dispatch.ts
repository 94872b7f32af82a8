/** What the generated wrappers stand on: operators by name, and handles turned into tensors. */

import { type Handle, native } from "./native.js";
import type { Tensor } from "./tensor.js";

let TensorClass: new (handle: Handle) => Tensor;

/** tensor.ts hands its class over; the generated wrappers, which it extends, cannot import it. */
export function setTensorClass(tensorClass: new (handle: Handle) => Tensor): void {
  TensorClass = tensorClass;
}

/** The number by which `call` knows the operator, such as "aten::add.Tensor". One that is absent fails when called. */
export function operator(name: string): number {
  return native.operator(name);
}

export const call = native.call;

export function wrap(handle: Handle): Tensor {
  return new TensorClass(handle);
}

export function wrapAll(handles: (Handle | null)[]): Tensor[] {
  return handles.map((handle) => (handle === null ? absent() : new TensorClass(handle)));
}

function absent(): never {
  throw new TypeError("the operator left one of its results undefined; call it through callOperator");
}

/** Handles of a list of tensors; nulls stay. */
export function handlesOf(tensors: readonly Tensor[]): Handle[];
export function handlesOf(tensors: readonly (Tensor | null)[]): (Handle | null)[];
export function handlesOf(tensors: readonly (Tensor | null)[]): (Handle | null)[] {
  return tensors.map((tensor) => (tensor === null ? null : tensor.handle));
}

/** The basis of the generated wrappers: operators by name, and handles turned into tensors. */

import { type Handle, native, sharedNumbers } from "./native.js";
import type { Tensor } from "./tensor.js";

let TensorClass: new (handle: Handle) => Tensor;

/** tensor.ts passes its class in; the generated wrappers, which it extends, cannot import it. */
export function setTensorClass(tensorClass: new (handle: Handle) => Tensor): void {
  TensorClass = tensorClass;
}

/** The number that identifies an operator, such as "aten::add.Tensor", to `call`. A missing operator fails when called. */
export function operator(name: string): number {
  return native.operator(name);
}

/**
 * Calls an operator with handles, numbers and lists, in the order of its schema; undefined means the default.
 *
 * If all arguments are numbers, as in nearly all calls, they go through shared memory: reading each through N-API takes longer
 * than everything else.
 */
// biome-ignore lint/suspicious/noExplicitAny: the schema decides the types; the generated wrappers state them
export function call(index: number, ...values: unknown[]): any {
  let count = values.length;
  while (count > 0 && values[count - 1] === undefined) count--;
  if (count > sharedNumbers.length - 2) return native.call(index, ...values);
  for (let i = 0; i < count; i++) {
    const value = values[i];
    if (typeof value !== "number") return native.call(index, ...values);
    sharedNumbers[i + 2] = value;
  }
  sharedNumbers[0] = index;
  sharedNumbers[1] = count;
  const result: unknown = native.callNumbers();
  const handle = sharedNumbers[0] as Handle;
  return Number.isNaN(handle) ? result : handle;
}

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

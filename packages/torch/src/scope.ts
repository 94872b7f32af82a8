/**
 * Ownership of tensors. All rules are in this file:
 *
 * - a tensor created inside `scope(fn)` is freed when `fn` ends, also on a throw, unless it is part of what `fn` returns;
 * - what is returned moves to the enclosing scope, or out of all scopes;
 * - `keep(x)` moves `x` out of all scopes; modules and optimizers do so with the tensors they register;
 * - a tensor outside every scope is freed by `dispose()`, by `using`, or, as a last resort, some time after it becomes garbage.
 *
 * Freeing drops one reference. What autograd saved stays alive in libtorch, so a scope may end before the backward pass.
 */

import { type Handle, native } from "./native.js";

/** What a scope needs to know of a tensor. */
export interface Tracked {
  /** The addon's number for the tensor. */
  readonly handle: Handle;
  /** The scope that frees this tensor; undefined outside all scopes. */
  frame: Frame | undefined;
}

/** The tensors created since a scope began. */
export class Frame {
  /** Also those that have moved out since; their own `frame` decides. */
  readonly tensors: Tracked[] = [];
  /** The enclosing scope; undefined for the outermost. */
  readonly parent: Frame | undefined;

  /** @param parent - the enclosing scope, if any */
  constructor(parent: Frame | undefined) {
    this.parent = parent;
  }
}

let current: Frame | undefined;
let releasing = new Float64Array(256);

const trace = process.env["TORCH_TRACE_TENSORS"] === "1";

interface Collected {
  readonly handle: Handle;
  readonly bytes: number;
  readonly origin: string | undefined;
}

/** The last resort for tensors outside every scope. V8 is given their size, so that many large ones trigger a collection. */
const registry = new FinalizationRegistry<Collected>(({ handle, bytes, origin }) => {
  if (origin && native.isLive(handle))
    console.error(`tensor of ${bytes} bytes was left to the garbage collector; made ${origin}`);
  native.adjustExternalMemory(-bytes);
  native.release(handle);
});

const caught = new WeakMap<object, number>();

function release(tensor: Tracked): void {
  const bytes = caught.get(tensor);
  if (bytes !== undefined) {
    caught.delete(tensor);
    registry.unregister(tensor);
    native.adjustExternalMemory(-bytes);
  }
  native.release(tensor.handle);
}

/** Takes over a tensor that no scope frees. */
function catchInNet(tensor: Tracked): void {
  const bytes = native.elementBytes(tensor.handle);
  const origin = trace ? new Error().stack?.split("\n").slice(3).join("\n") : undefined;
  caught.set(tensor, bytes);
  registry.register(tensor, { handle: tensor.handle, bytes, origin }, tensor);
  native.adjustExternalMemory(bytes);
}

/** Called once for every new tensor. */
export function track(tensor: Tracked): void {
  if (current === undefined) catchInNet(tensor);
  else {
    tensor.frame = current;
    current.tensors.push(tensor);
  }
}

/** Frees a tensor now; calling it again has no effect. */
export function disposeTracked(tensor: Tracked): void {
  tensor.frame = undefined;
  release(tensor);
}

/** Moves a tensor out of all scopes, for state that outlives an iteration. Returns it. */
export function keep<T extends Tracked>(tensor: T): T {
  if (tensor.frame !== undefined) {
    tensor.frame = undefined;
    catchInNet(tensor);
  }
  return tensor;
}

function isTracked(value: object): value is Tracked {
  return "handle" in value && "frame" in value;
}

/** Moves every tensor of `frame` that `value` holds, also inside arrays, maps and plain objects, to the enclosing frame. */
function moveOutward(value: unknown, frame: Frame): void {
  if (typeof value !== "object" || value === null) return;
  if (isTracked(value)) {
    if (value.frame !== frame) return;
    if (frame.parent === undefined) {
      value.frame = undefined;
      catchInNet(value);
    } else {
      value.frame = frame.parent;
      frame.parent.tensors.push(value);
    }
  } else if (Array.isArray(value)) {
    for (const element of value) moveOutward(element, frame);
  } else if (value instanceof Map) {
    for (const element of value.values()) moveOutward(element, frame);
  } else {
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype === Object.prototype || prototype === null) {
      for (const element of Object.values(value)) moveOutward(element, frame);
    }
  }
}

function releaseFrame(frame: Frame): void {
  const { tensors } = frame;
  if (releasing.length < tensors.length) releasing = new Float64Array(2 * tensors.length);
  let count = 0;
  for (const tensor of tensors) {
    if (tensor.frame !== frame) continue;
    tensor.frame = undefined;
    releasing[count++] = tensor.handle;
  }
  native.releaseAll(releasing, count);
}

/** A function whose result may not be a promise: a scope that ended before its body did would free tensors in use. */
export type Synchronous<T> = T extends PromiseLike<unknown> ? never : T;

/** @throws TypeError when `result` is a promise, for callers without type checking. */
export function refusePromise(name: string, result: unknown): void {
  if (typeof (result as { then?: unknown } | null | undefined)?.then === "function") {
    throw new TypeError(
      `${name}() is synchronous: its body returned a promise. Use \`using\` for tensors in async code.`,
    );
  }
}

/**
 * Runs `body` and frees every tensor created inside it, except those in the result (also in arrays, maps and plain objects).
 *
 * @throws what `body` throws, after freeing everything; a TypeError when `body` returns a promise.
 */
export function scope<T>(body: () => Synchronous<T>): T {
  const frame = new Frame(current);
  current = frame;
  try {
    const result = body();
    refusePromise("scope", result);
    moveOutward(result, frame);
    return result;
  } finally {
    current = frame.parent;
    releaseFrame(frame);
  }
}

/** {@link memory}'s result. */
export interface MemoryUse {
  /** Live tensors that JavaScript holds. What autograd saved is not counted. */
  readonly tensors: number;
  /** Bytes of their storage; shared storage counts once. */
  readonly bytes: number;
}

/** What JavaScript holds in libtorch at this moment. Walks over all live tensors. */
export function memory(): MemoryUse {
  const [tensors, bytes] = native.memory();
  return { tensors, bytes };
}

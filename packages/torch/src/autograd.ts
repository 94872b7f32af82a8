/** Gradients: switching recording on and off, and derivatives with respect to given tensors. Methods of Tensor do the rest. */

import { handlesOf, wrap } from "./dispatch.js";
import { native } from "./native.js";
import { refusePromise, type Synchronous } from "./scope.js";
import type { Tensor } from "./tensor.js";

function withGradientMode<T>(name: string, enabled: boolean, body: () => Synchronous<T>): T {
  const before = native.setGradientMode(enabled);
  try {
    const result = body();
    refusePromise(name, result);
    return result;
  } finally {
    native.setGradientMode(before);
  }
}

/**
 * Runs `body` without recording operations for the backward pass, and returns its result.
 *
 * @throws TypeError when `body` returns a promise.
 */
export function noGrad<T>(body: () => Synchronous<T>): T {
  return withGradientMode("noGrad", false, body);
}

/**
 * Runs `body` with recording switched on, also inside {@link noGrad}, and returns its result.
 *
 * @throws TypeError when `body` returns a promise.
 */
export function enableGrad<T>(body: () => Synchronous<T>): T {
  return withGradientMode("enableGrad", true, body);
}

/** How {@link grad} differentiates. */
export interface GradOptions {
  /** Gradients with respect to the outputs; needed unless each output has one element. */
  gradOutputs?: readonly Tensor[];
  /** Keep the graph for another pass. Equal to `createGraph` when left out. */
  retainGraph?: boolean;
  /** Record the backward pass itself, for derivatives of higher order. */
  createGraph?: boolean;
}

/**
 * The gradients of the sum of `outputs` with respect to each of `inputs`, without changing any `grad`.
 *
 * @returns one tensor per input, of its shape and dtype
 * @throws TorchError when the outputs do not depend on an input, or an output has several elements and no `gradOutputs`.
 */
export function grad(outputs: readonly Tensor[], inputs: readonly Tensor[], options: GradOptions = {}): Tensor[] {
  const { gradOutputs, createGraph = false, retainGraph = createGraph } = options;
  const handles = native.gradients(
    handlesOf(outputs),
    handlesOf(inputs),
    gradOutputs && handlesOf(gradOutputs),
    retainGraph,
    createGraph,
    false,
  );
  return handles.map((handle) => wrap(handle as number));
}

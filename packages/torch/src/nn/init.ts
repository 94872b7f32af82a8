/** Initial values of weights. */

import { rand, randn, zeros } from "../operators.generated.js";
import { scope } from "../scope.js";
import type { Tensor } from "../tensor.js";

/** Fan-in and fan-out of a weight; for a convolution each is the number of channels times the area of the kernel. */
export interface Fans {
  /** Number of inputs that one output depends on. */
  readonly fanIn: number;
  /** Number of outputs that depend on one input. */
  readonly fanOut: number;
}

/** Draws a float32 tensor of `shape` from the global generator. */
export type Initializer = (shape: readonly number[], fans: Fans) => Tensor;

const uniform = (shape: readonly number[], bound: number): Tensor =>
  scope(() => rand(shape).mul_(2).sub_(1).mul_(bound));

const normal = (shape: readonly number[], deviation: number): Tensor => scope(() => randn(shape).mul_(deviation));

/**
 * gain sqrt(6 / (fi + fo)) U (Glorot and Bengio 2010, equation 16), with the fan-in fi, the fan-out fo, U uniform on
 * [-1, 1).
 */
export const xavierUniform =
  (gain = 1): Initializer =>
  (shape, { fanIn, fanOut }) =>
    uniform(shape, gain * Math.sqrt(6 / (fanIn + fanOut)));

/** gain sqrt(2 / (fi + fo)) N (Glorot and Bengio 2010), with the fan-in fi, the fan-out fo, N standard normal. */
export const xavierNormal =
  (gain = 1): Initializer =>
  (shape, { fanIn, fanOut }) =>
    normal(shape, gain * Math.sqrt(2 / (fanIn + fanOut)));

/**
 * gain sqrt(3 / fi) U (He et al. 2015), with the fan-in fi, U uniform on [-1, 1). PyTorch's layers use a gain of
 * sqrt(1/3).
 */
export const kaimingUniform =
  (gain = 1): Initializer =>
  (shape, { fanIn }) =>
    uniform(shape, gain * Math.sqrt(3 / fanIn));

/** gain sqrt(1 / fi) N (He et al. 2015), with the fan-in fi, N standard normal. */
export const kaimingNormal =
  (gain = 1): Initializer =>
  (shape, { fanIn }) =>
    normal(shape, gain * Math.sqrt(1 / fanIn));

/** Zeros, without drawing random numbers. */
export const zerosInitializer: Initializer = (shape) => zeros(shape);

/** The defaults of PyTorch's Linear and Conv2d: U / sqrt(fi), for weights and biases alike. */
export const torchDefault: Initializer = kaimingUniform(Math.sqrt(1 / 3));

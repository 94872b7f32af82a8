/** Weights and images by the formulas of golden/make_inception.py. */

import { type Tensor, tensor } from "@stf/torch";
import { inceptionShapes } from "../src/features/inception-layers.js";

/** A number on [-1, 1), a multiple of 2^-15, from a hash of two integers. */
function uniform(seed: number, index: number): number {
  let h = (Math.imul(index, 0x9e3779b1) + Math.imul(seed, 0x85ebca6b)) >>> 0;
  h ^= h >>> 15;
  h = Math.imul(h, 0x2c1b3c6d) >>> 0;
  h ^= h >>> 12;
  h = Math.imul(h, 0x297a2d39) >>> 0;
  h ^= h >>> 15;
  return (h >>> 16) / 32768 - 1;
}

function scaleOf(name: string, shape: readonly number[]): (u: number) => number {
  if (name.endsWith("running_var")) return (u) => 1 + u / 2;
  if (name.endsWith("bn.weight")) return (u) => 1 + u / 4;
  if (/(bn\.bias|running_mean|fc\.bias)$/.test(name)) return (u) => u / 4;
  const bound = Math.sqrt(6 / shape.slice(1).reduce((product, size) => product * size, 1));
  return (u) => u * bound;
}

/** The weights of a network of that width. The caller disposes of them. */
export function madeWeights(width = 1): Map<string, Tensor> {
  const entries = [...inceptionShapes(width)].map(([name, shape], seed): [string, Tensor] => {
    const scale = scaleOf(name, shape);
    const count = shape.reduce((product, size) => product * size, 1);
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = scale(uniform(seed, i));
    return [name, tensor(values, { shape })];
  });
  return new Map(entries);
}

/** Images of random bytes, uint8 `[count, channels, height, width]`. */
export function madeImages(seed: number, count: number, channels: number, height: number, width: number): Tensor {
  const bytes = Uint8Array.from({ length: count * channels * height * width }, (_, i) => (uniform(seed, i) + 1) * 128);
  return tensor(bytes, { shape: [count, channels, height, width] });
}

/** Weights and images by the formulas of golden/make_inception.py and golden/make_dinov2.py. */

import { type Tensor, tensor } from "@stf/torch";

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
  if (/(bn|norm\d?)\.weight$/.test(name)) return (u) => 1 + u / 4;
  if (/(bias|running_mean)$/.test(name)) return (u) => u / 4;
  if (/(gamma|_token|pos_embed)$/.test(name)) return (u) => u;
  const bound = Math.sqrt(6 / shape.slice(1).reduce((product, size) => product * size, 1));
  return (u) => u * bound;
}

/** Weights of those shapes. The caller disposes of them. */
export function madeWeights(shapes: ReadonlyMap<string, readonly number[]>): Map<string, Tensor> {
  const entries = [...shapes].map(([name, shape], seed): [string, Tensor] => {
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

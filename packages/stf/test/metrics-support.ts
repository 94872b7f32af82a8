/** What the tests of metrics share: features that NumPy made, too, and normal ones with known moments. */

import { readFileSync } from "node:fs";
import { linalgQr, type Tensor, tensor } from "@stf/torch";
import type { Estimate } from "../src/metrics/estimate.js";
import { normals } from "./support.js";

/** Values of fixtures/metrics, made with NumPy and SciPy. */
export const values = JSON.parse(
  readFileSync(new URL("./fixtures/metrics/values.json", import.meta.url), "utf8"),
) as MetricValues;

interface MetricValues {
  readonly frechet: {
    readonly mean: number[];
    readonly covariance: number[][];
    readonly far_covariance: number[][];
    readonly distance: number;
    readonly scaled: number;
  };
  readonly kernel: { readonly distance: number };
  readonly score: { readonly whole: number; readonly mean: number; readonly error: number };
  readonly neighbours: { readonly precision: number; readonly recall: number };
  readonly sliced: { readonly unequal: Required<Estimate>; readonly equal: Required<Estimate> };
  /** Distances by packet. */
  readonly packets: { readonly rgb: number[]; readonly odd: number[] };
}

/** The numbers of make_values.py. */
export function congruential(count: number, seed: number): Float64Array {
  let state = seed;
  return Float64Array.from({ length: count }, () => {
    state = Number((1664525n * BigInt(state) + 1013904223n) % 2n ** 32n);
    return state / 2 ** 32;
  });
}

/** The features of make_values.py, float64 `[count, dimension]`. */
export function features(count: number, dimension: number, seed: number, shift = 0): Tensor {
  const numbers = congruential(count * (dimension + 1), seed);
  const rows = Float64Array.from({ length: count * dimension }, (_, i) => {
    const at = Math.floor(i / dimension) * (dimension + 1) + (i % dimension);
    return (numbers[at] as number) + (numbers[at + 1] as number) + shift;
  });
  return tensor(rows, { shape: [count, dimension] });
}

/** An orthogonal matrix, float64. */
export function rotation(size: number, seed: number): Tensor {
  return linalgQr(normals([size, size], seed))[0];
}

/** Whether numbers increase from one to the next. */
export function isIncreasing(numbers: readonly number[]): boolean {
  return numbers.every((value, i) => i === 0 || value > (numbers[i - 1] as number));
}

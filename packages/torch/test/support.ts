/** Comparison of numbers, numerical derivatives, and a frame that notices leaks. */

import { arange, type Device, Generator, grad, memory, randn, scope, Tensor, tensor } from "@stf/torch";
import { expect, test } from "vitest";

/** Where the device suites compute: what STF_TEST_DEVICE names, the CPU by default. */
export const device = (process.env["STF_TEST_DEVICE"] ?? "cpu") as Device;

export interface Tolerance {
  /** Allowed difference relative to the expected number. */
  rtol?: number;
  /** Allowed difference besides. */
  atol?: number;
}

type Nested = number | readonly Nested[];
type Numbers = Tensor | Float32Array | Float64Array | Nested;

function flatten(numbers: Numbers): number[] {
  if (typeof numbers === "number") return [numbers];
  if (numbers instanceof Tensor) return Array.from(numbers.toFloat64Array());
  return Array.from(numbers as readonly Nested[]).flatMap(flatten);
}

/** Every number lies within atol + rtol |expected|, and the counts (between tensors, the shapes) agree. NaN is close to nothing. */
export function expectClose(actual: Numbers, expected: Numbers, { rtol = 1e-5, atol = 1e-6 }: Tolerance = {}): void {
  if (actual instanceof Tensor && expected instanceof Tensor) expect(actual.shape).toEqual(expected.shape);
  const found = flatten(actual);
  const wanted = flatten(expected);
  expect(found).toHaveLength(wanted.length);
  const excess = found.map((value, i) => Math.abs(value - wanted[i]!) - (atol + rtol * Math.abs(wanted[i]!)));
  const first = excess.findIndex((value) => !(value <= 0));
  if (first >= 0) {
    expect.fail(`element ${first} of ${found.length} is ${found[first]}, expected ${wanted[first]}`);
  }
}

/** A test that runs in a scope of its own, after which as many tensors live as before. */
export function scopedTest(name: string, body: () => void): void {
  test(name, () => {
    const { tensors } = memory();
    scope(body);
    expect(memory().tensors).toBe(tensors);
  });
}

/** libtorch's device without memory: what it refuses because of a second device, it refuses on every machine. */
export const elsewhere = "meta" as Device;

/** Standard normal float64 numbers, the same for the same seed. */
export function normal(shape: readonly number[], seed = 0): Tensor {
  using generator = new Generator(seed);
  return randn(shape, { generator, dtype: "float64" });
}

/** Derivatives of `f` at `x` by central differences, whose error is of the order of step^2. */
export function finiteDifference(f: (x: Float64Array) => number, x: Float64Array, step = 1e-5): Float64Array {
  return x.map((value, i) => f(x.with(i, value + step)) / (2 * step) - f(x.with(i, value - step)) / (2 * step));
}

/**
 * Compares the gradients of a float64 function of tensors with central differences. The function's outputs are weighed
 * unequally, since the sum of, say, a softmax is constant.
 */
export function checkGradients(f: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): void {
  scope(() => {
    const value = (...at: Tensor[]): Tensor => {
      const output = f(...at);
      const weights = arange(1, output.numel + 1, 1, { dtype: "float64" }).cos();
      return output.mul(weights.view(output.shape)).sum();
    };
    const leaves = inputs.map((input) => input.detach().clone().requiresGrad_());
    const gradients = grad([value(...leaves)], leaves);
    for (const [position, input] of inputs.entries()) {
      const numeric = finiteDifference(
        (numbers) => scope(() => value(...inputs.with(position, tensor(numbers, { shape: input.shape }))).item()),
        input.toFloat64Array(),
      );
      expectClose(gradients[position]!, numeric, { rtol: 1e-6, atol: 1e-8 });
    }
  });
}

/** Derivatives on the device that STF_TEST_DEVICE names, the CPU by default, against the CPU in float64. */

import { cat, conv2d, convTranspose2d, grad, groupNorm, linear, type Tensor, tensor } from "@stf/torch";
import { describe, expect } from "vitest";
import { device, expectClose, normal, scopedTest } from "./support.js";

describe("first and second derivatives", () => {
  const at = [3, 4, 6];
  const image = [2, 4, 6, 6];
  const functions: Record<string, [shapes: number[][], f: (...inputs: Tensor[]) => Tensor]> = {
    "products of rows and columns": [[at, [6], [4, 1]], (x, row, column) => x.mul(row).div(column.square().add(1))],
    "exp, log, sqrt": [[at], (x) => x.square().add(0.5).sqrt().log().add(x.exp())],
    "silu, tanh": [[at, at], (x, y) => x.silu().mul(y.tanh())],
    matmul: [[at, [6, 5]], (x, y) => x.matmul(y)],
    linear: [[at, [5, 6], [5]], (x, weight, bias) => linear(x, weight, bias)],
    softmax: [[at], (x) => x.softmax(2)],
    logsumexp: [[at], (x) => x.logsumexp([1])],
    "mean and deviation": [[at], (x) => x.sub(x.mean([2], true)).div(x.std([2], { keepdim: true }))],
    amax: [[at], (x) => x.amax([2]).square()],
    cumsum: [[at], (x) => x.cumsum(1).square()],
    "cat, narrow, flip, pad": [
      [at, at],
      (x, y) =>
        cat([x.narrow(2, 1, 3), y.flip([2])], 2)
          .pad([1, 1])
          .square(),
    ],
    "indexSelect, gather": [
      [at],
      (x) => {
        const index = tensor(Int32Array.of(3, 0, 3), { dtype: "int64", device: x.device });
        return x.indexSelect(1, index).mul(x.gather(1, index.view([1, 3, 1]).expand([3, 3, 6])));
      },
    ],
    conv2d: [[image, [3, 4, 3, 3], [3]], (x, weight, bias) => conv2d(x, weight, bias, 1, 1)],
    "conv2d in groups": [[image, [4, 1, 4, 4]], (x, weight) => conv2d(x, weight, null, 2, 1, 1, 4)],
    convTranspose2d: [[image, [4, 3, 4, 4]], (x, weight) => convTranspose2d(x, weight, null, 2, 1)],
    "avgPool2d, upsampleNearest2d": [[image], (x) => x.avgPool2d(2).upsampleNearest2d([6, 6]).square()],
    groupNorm: [[image, [4], [4]], (x, weight, bias) => groupNorm(x, 2, weight, bias)],
  };

  /** Derivatives of a sum of sines, and of the squared length of its gradient, with respect to every input. */
  function derivatives(f: (...inputs: Tensor[]) => Tensor, inputs: readonly Tensor[]): Tensor[] {
    const leaves = inputs.map((input) => input.detach().requiresGrad_());
    const first = grad(
      [
        f(...leaves)
          .sin()
          .sum(),
      ],
      leaves,
      { createGraph: true },
    );
    const squares = first.map((slope) => slope.square().sum()).reduce((sum, square) => sum.add(square));
    return [...first, ...grad([squares], leaves)];
  }

  for (const [name, [sizes, f]] of Object.entries(functions)) {
    scopedTest(name, () => {
      const inputs = sizes.map((shape, i) => normal(shape, 20 + i).mul(0.5));
      const expected = derivatives(f, inputs);
      for (const [dtype, rtol] of [
        ["float32", 3e-5],
        ["float64", 1e-11],
      ] as const) {
        const found = derivatives(
          f,
          inputs.map((input) => input.to({ dtype, device })),
        );
        found.forEach((derivative, i) => {
          // Sums of terms of both signs: rounding is relative to the terms.
          const scale = expected[i]!.abs().max().item();
          expectClose(derivative, expected[i]!, { rtol, atol: rtol * scale });
        });
      }
    });
  }

  scopedTest("backward adds to the gradients of leaves there", () => {
    const x = normal([4, 5]);
    const leaf = x.to({ device }).requiresGrad_();
    for (let i = 0; i < 2; i++) leaf.square().sum().backward();
    expect(leaf.grad!.device).toBe(leaf.device);
    expectClose(leaf.grad!, x.mul(4), { rtol: 1e-12, atol: 0 });
  });
});

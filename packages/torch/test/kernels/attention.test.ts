/** Self-attention against its formula in float64. */

import { attention, grad, type Tensor, TorchError } from "@stf/torch";
import { describe, expect } from "vitest";
import { expectClose, normal, scopedTest } from "../support.js";

/** softmax(q kᵀ / sqrt(C)) v for one head at a time. */
function reference(qkv: Tensor, heads: number): Tensor {
  const [batch, joined, height, width] = qkv.shape as [number, number, number, number];
  const channels = joined / 3 / heads;
  const [query, key, value] = qkv.reshape([batch, heads, channels, 3, height * width]).unbind(3) as [
    Tensor,
    Tensor,
    Tensor,
  ];
  const weights = query.transpose(2, 3).matmul(key).div(Math.sqrt(channels)).softmax(3);
  return value.matmul(weights.transpose(2, 3)).reshape([batch, heads * channels, height, width]);
}

// More pixels than weights are held for at a time, and what no loop does: other numbers of channels and pixels.
const cases: [batch: number, heads: number, channels: number, height: number, width: number][] = [
  [2, 1, 32, 4, 8],
  [3, 2, 64, 8, 8],
  [1, 1, 96, 12, 16],
  [1, 3, 32, 16, 16],
  [2, 2, 24, 8, 8],
  [2, 1, 32, 3, 5],
];

describe("values and gradients", () => {
  for (const [batch, heads, channels, height, width] of cases) {
    scopedTest(`${heads} heads of ${channels} channels, ${height}x${width} pixels`, () => {
      const qkv = normal([batch, 3 * heads * channels, height, width], 1).requiresGrad_();
      const dy = normal([batch, heads * channels, height, width], 2);
      const expected = reference(qkv, heads);
      const [gradient] = grad([expected], [qkv], { gradOutputs: [dy] });
      for (const [dtype, memoryFormat, tolerance] of [
        ["float32", "channelsLast", 5e-6],
        ["float32", "contiguous", 5e-6],
        ["float64", "channelsLast", 1e-13],
        ["bfloat16", "channelsLast", 0.04],
      ] as const) {
        const input = qkv.detach().to({ dtype, memoryFormat }).requiresGrad_();
        const mixed = attention(input, heads);
        expect(mixed.dtype).toBe(dtype);
        expectClose(mixed.double(), expected, { rtol: tolerance, atol: tolerance });
        const [found] = grad([mixed], [input], { gradOutputs: [dy.to({ dtype })] });
        expectClose(found!.double(), gradient!, { rtol: tolerance, atol: 2 * tolerance });
      }
    });
  }
});

scopedTest("large logits do not overflow, and pick one value", () => {
  const qkv = normal([1, 96, 8, 8], 3).mul(100);
  const single = qkv.float().to({ memoryFormat: "channelsLast" });
  expectClose(attention(single, 1).double(), reference(qkv, 1), { rtol: 1e-3, atol: 1e-2 });
});

scopedTest("can be differentiated twice", () => {
  const penalty = (mix: typeof attention, qkv: Tensor): Tensor => {
    const input = qkv.detach().requiresGrad_();
    const [slope] = grad([mix(input, 1).sin().sum()], [input], { createGraph: true });
    return grad([slope!.square().sum()], [input])[0]!;
  };
  const qkv = normal([2, 96, 4, 8], 4);
  const found = penalty(attention, qkv.float().to({ memoryFormat: "channelsLast" }));
  expectClose(found.double(), penalty(reference, qkv), { rtol: 1e-3, atol: 1e-4 });
});

scopedTest("channels that do not divide into the heads are an error", () => {
  expect(() => attention(normal([1, 96, 4, 4]), 5)).toThrow(TorchError);
  expect(() => attention(normal([1, 96, 4, 4]), 0)).toThrow("for 0 heads");
  expect(() => attention(normal([96, 4, 4]), 1)).toThrow("found [96, 4, 4]");
});

/** 3x3 convolutions, by Winograd's method where that applies, against direct sums in float64. */

import { callOperator, conv3x3, engineReport, grad, setThreads, type Tensor, TorchError } from "@stf/torch";
import { bfloat16Support } from "@stf/torch/installation";
import { describe, expect } from "vitest";
import { elsewhere, expectClose, normal, scopedTest } from "../support.js";

const direct = (x: Tensor, weight: Tensor, bias: Tensor | null): Tensor =>
  callOperator("aten::conv2d", x, weight, bias, [1, 1], [1, 1]) as Tensor;

// Tiles are 4x4: sizes that they divide and that they do not, also smaller ones; channels in blocks of 32; and what the
// method does not do: other channels, and too few tiles to pay.
const cases: [batch: number, inChannels: number, outChannels: number, height: number, width: number][] = [
  [4, 32, 32, 16, 16],
  [3, 64, 32, 17, 14],
  [2, 32, 96, 33, 15],
  [35, 32, 64, 3, 2],
  [40, 64, 32, 1, 1],
  [2, 24, 32, 20, 20],
  [1, 32, 32, 8, 8],
];

describe("values and gradients in float32", () => {
  for (const [batch, inChannels, outChannels, height, width] of cases) {
    scopedTest(`[${batch}, ${inChannels}, ${height}, ${width}] to ${outChannels} channels`, () => {
      const x = normal([batch, inChannels, height, width], 1).requiresGrad_();
      const weight = normal([outChannels, inChannels, 3, 3], 2)
        .mul(1 / Math.sqrt(9 * inChannels))
        .requiresGrad_();
      const bias = normal([outChannels], 3).requiresGrad_();
      const dy = normal([batch, outChannels, height, width], 4);
      const expected = direct(x, weight, bias);
      const gradients = grad([expected], [x, weight, bias], { gradOutputs: [dy] });
      for (const memoryFormat of ["channelsLast", "contiguous"] as const) {
        const single = [x.detach().float().to({ memoryFormat }), weight.detach().float(), bias.detach().float()];
        const [x1, weight1, bias1] = single.map((input) => input.requiresGrad_()) as [Tensor, Tensor, Tensor];
        const y = conv3x3(x1, weight1, bias1);
        // Outputs have deviation 1.4. Direct sums are off by about 1e-6 at most, Winograd's by up to 3e-5.
        expectClose(y.double(), expected, { rtol: 0, atol: 5e-5 });
        const found = grad([y], [x1, weight1, bias1], { gradOutputs: [dy.float()] });
        for (const [i, gradient] of gradients.entries()) {
          const scale = gradient.abs().max().item();
          expectClose(found[i]!.double(), gradient, { rtol: 0, atol: 1e-5 * scale });
        }
      }
    });
  }
});

scopedTest("the error is a few times that of direct sums", () => {
  const x = normal([8, 128, 32, 32], 1);
  const weight = normal([64, 128, 3, 3], 2).mul(1 / Math.sqrt(9 * 128));
  const expected = direct(x, weight, null);
  const single = x.float().to({ memoryFormat: "channelsLast" });
  const deviation = (y: Tensor): number => y.double().sub(expected).square().mean().sqrt().item();
  const found = deviation(conv3x3(single, weight.float(), null));
  expect(found).toBeLessThan(3e-6);
  expect(found).toBeLessThan(12 * deviation(direct(single, weight.float(), null)));
});

describe("an image does not depend on the others, nor on the number of threads", () => {
  for (const dtype of ["float32", "bfloat16"] as const) {
    scopedTest(dtype, () => {
      const convert = (values: Tensor): Tensor => values.to({ dtype, memoryFormat: "channelsLast" });
      const x = convert(normal([5, 32, 36, 31], 1)).requiresGrad_();
      const weight = normal([32, 32, 3, 3], 2).float().requiresGrad_();
      const dy = convert(normal([5, 32, 36, 31], 3));
      const together = conv3x3(x, weight, null);
      const alone = conv3x3(x.detach().narrow(0, 3, 2), weight, null);
      expect(alone.equal(together.narrow(0, 3, 2))).toBe(true);
      const { threads, instructionSet } = engineReport();
      // Elsewhere the convolutions are libtorch's, whose sums over images depend on the threads.
      const isOurs = instructionSet !== "baseline" && (dtype === "float32" || bfloat16Support() !== "amx");
      const inputs = isOurs ? [x, weight] : [x];
      const gradients = grad([together], inputs, { gradOutputs: [dy] });
      try {
        for (const count of [1, 3]) {
          setThreads(count);
          const y = conv3x3(x, weight, null);
          expect(y.equal(together)).toBe(true);
          const found = grad([y], inputs, { gradOutputs: [dy] });
          expect(found.map((gradient, i) => gradient.equal(gradients[i]!))).toEqual(inputs.map(() => true));
        }
      } finally {
        setThreads(threads);
      }
    });
  }
});

describe("values and gradients in bfloat16", () => {
  // Tiles may be 2x2: an odd number of them, and a last task and a last sum that are not full.
  const more: typeof cases = [
    [13, 32, 64, 6, 5],
    [1, 96, 32, 11, 13],
    [11, 64, 32, 9, 7],
  ];
  for (const [batch, inChannels, outChannels, height, width] of [...cases, ...more]) {
    scopedTest(`[${batch}, ${inChannels}, ${height}, ${width}] to ${outChannels} channels`, () => {
      const half = (values: Tensor): Tensor => values.to({ dtype: "bfloat16", memoryFormat: "channelsLast" });
      const x = half(normal([batch, inChannels, height, width], 1)).requiresGrad_();
      const weight = normal([outChannels, inChannels, 3, 3], 2)
        .mul(1 / Math.sqrt(9 * inChannels))
        .float()
        .requiresGrad_();
      const bias = normal([outChannels], 3).float().requiresGrad_();
      const dy = half(normal([batch, outChannels, height, width], 4));
      const inputs: [Tensor, Tensor, Tensor] = [x, weight, bias];
      const y = conv3x3(...inputs);
      const found = [y, ...grad([y], inputs, { gradOutputs: [dy] })];
      expect(found.map((result) => result.dtype)).toEqual(["bfloat16", "bfloat16", "float32", "float32"]);
      const exact = inputs.map((input) => input.detach().double().requiresGrad_()) as typeof inputs;
      const expected = direct(...exact);
      for (const [i, value] of [expected, ...grad([expected], exact, { gradOutputs: [dy.double()] })].entries()) {
        const squares = (values: Tensor): number => values.square().sum().item();
        const deviation = Math.sqrt(squares(found[i]!.double().sub(value)) / squares(value));
        // Rounding weights and results gives 0.0024, products of bfloat16 in tiles of 2x2 give 0.0044.
        expect(deviation).toBeLessThan(0.006);
      }
    });
  }
});

scopedTest("can be differentiated twice, and frozen inputs get no gradient", () => {
  const penalty = (convolve: typeof conv3x3, [x, weight]: readonly Tensor[]): Tensor => {
    const inputs = [x!, weight!].map((input) => input.detach().requiresGrad_()) as [Tensor, Tensor];
    const [slope] = grad(
      [
        convolve(...inputs, null)
          .sin()
          .sum(),
      ],
      [inputs[0]],
      { createGraph: true },
    );
    return grad([slope!.square().sum()], [inputs[1]])[0]!;
  };
  const inputs = [normal([2, 32, 16, 16], 1), normal([32, 32, 3, 3], 2).mul(0.06)];
  const expected = penalty(direct, inputs);
  const found = penalty(conv3x3, [inputs[0]!.float().to({ memoryFormat: "channelsLast" }), inputs[1]!.float()]);
  expectClose(found.double(), expected, { rtol: 0, atol: 1e-4 * expected.abs().max().item() });

  const frozen = inputs[1]!.float();
  const x = inputs[0]!.float().to({ memoryFormat: "channelsLast" }).requiresGrad_();
  conv3x3(x, frozen, null).sum().backward();
  expect([x.grad?.shape, frozen.grad]).toEqual([x.shape, null]);
});

scopedTest("what does not fit is an error", () => {
  const x = normal([4, 32, 16, 16]).float().to({ memoryFormat: "channelsLast" });
  expect(() => conv3x3(x, normal([32, 32, 5, 5]).float(), null)).toThrow("the kernel must be 3x3");
  expect(() => conv3x3(x, normal([32, 64, 3, 3]).float(), null)).toThrow(TorchError);
  expect(() => conv3x3(x, normal([32, 32, 3, 3]).float(), normal([7]).float())).toThrow(TorchError);
  expect(() => conv3x3(x, normal([32, 32, 3, 3]).float(), normal([32]).float().to({ device: elsewhere }))).toThrow(
    TorchError,
  );
  expect(() => conv3x3(x.to({ device: elsewhere }), normal([32, 32, 3, 3]).float(), null)).toThrow(TorchError);
});

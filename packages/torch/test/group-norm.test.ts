/** The GroupNorm layer, whose channels_last path is a loop of the addon, against libtorch's operators in float64. */

import { GroupNorm, grad, groupNorm, noGrad, type Tensor, TorchError } from "@stf/torch";
import { describe, expect } from "vitest";
import { checkGradients, elsewhere, expectClose, normal, scopedTest } from "./support.js";

/** A layer whose parameters are not 1 and 0. */
function layerOf(groups: number, channels: number, silu: boolean): GroupNorm {
  const layer = new GroupNorm(groups, channels, { silu });
  noGrad(() => {
    layer.weight.copy_(normal([channels], 1));
    layer.bias.copy_(normal([channels], 2));
  });
  return layer;
}

/** What the layer is to compute, by stock operators. */
function reference(x: Tensor, groups: number, weight: Tensor, bias: Tensor, silu: boolean): Tensor {
  const y = groupNorm(x, groups, weight, bias, 1e-5);
  return silu ? y.silu() : y;
}

// Channels of less than a vector, of several, and with a rest; one pixel, and more than the 64 of a partial sum.
const shapes: [groups: number, shape: number[]][] = [
  [2, [2, 4, 3, 3]],
  [8, [3, 32, 5, 13]],
  [4, [1, 20, 11, 7]],
  [1, [2, 18, 1, 1]],
  [33, [2, 33, 4, 4]],
];

for (const silu of [false, true]) {
  describe(silu ? "followed by SiLU" : "alone", () => {
    for (const [groups, shape] of shapes) {
      scopedTest(`${groups} groups of [${shape}], values and gradients`, () => {
        const layer = layerOf(groups, shape[1]!, silu);
        const x = normal(shape, 3).mul(2).add(1);
        const dy = normal(shape, 4);
        const inputs = [x, layer.weight.double(), layer.bias.double()].map((input) => input.detach().requiresGrad_());
        const expected = reference(inputs[0]!, groups, inputs[1]!, inputs[2]!, silu);
        const gradients = grad([expected], inputs, { gradOutputs: [dy] });
        for (const memoryFormat of ["contiguous", "channelsLast"] as const) {
          const single = x.float().to({ memoryFormat }).requiresGrad_();
          const y = layer.forward(single);
          if (shape[2]! > 1) expect(y.strides).toEqual(single.strides);
          expectClose(y.double(), expected, { rtol: 1e-5, atol: 1e-5 });
          const found = grad([y], [single, layer.weight, layer.bias], { gradOutputs: [dy.float()] });
          for (const [i, gradient] of gradients.entries()) {
            const scale = gradient.abs().max().item();
            expectClose(found[i]!.double(), gradient, { rtol: 1e-4, atol: 2e-6 * Math.max(scale, 1) });
          }
        }
        layer.dispose();
      });
    }

    scopedTest("in bfloat16, to the precision of that", () => {
      const layer = layerOf(4, 24, silu);
      const x = normal([2, 24, 6, 6], 5).to({ dtype: "bfloat16", memoryFormat: "channelsLast" });
      const y = layer.forward(x);
      expect(y.dtype).toBe("bfloat16");
      const expected = reference(x.double(), 4, layer.weight.double(), layer.bias.double(), silu);
      expectClose(y.double(), expected, { rtol: 2 ** -8, atol: 1e-3 });
      layer.dispose();
    });

    scopedTest("a large common offset does not cancel", () => {
      const layer = layerOf(2, 8, silu);
      const x = normal([1, 8, 9, 9], 6).add(1000).float();
      const expected = reference(x.double(), 2, layer.weight.double(), layer.bias.double(), silu);
      expectClose(layer.forward(x.to({ memoryFormat: "channelsLast" })).double(), expected, { rtol: 1e-3, atol: 1e-3 });
      layer.dispose();
    });

    scopedTest("can be differentiated twice, also with frozen parameters", () => {
      const layer = layerOf(2, 4, silu);
      const x = normal([2, 4, 3, 2], 7);
      const [weight, bias] = [layer.weight.double(), layer.bias.double()].map((t) => t.detach());
      const penalty = (forward: (input: Tensor) => Tensor, at: Tensor): Tensor => {
        const input = at.detach().requiresGrad_();
        const [slope] = grad([forward(input).sin().sum()], [input], { createGraph: true });
        return grad([slope!.square().sum()], [input])[0]!;
      };
      const expected = penalty((input) => reference(input, 2, weight!, bias!, silu), x);
      const single = x.float().to({ memoryFormat: "channelsLast" });
      for (const trained of [true, false]) {
        for (const parameter of layer.parameters()) parameter.requiresGrad_(trained);
        expectClose(penalty((input) => layer.forward(input), single).double(), expected, { rtol: 1e-3, atol: 1e-4 });
      }
      layer.dispose();
    });
  });
}

scopedTest("gradients in float64 equal central differences", () => {
  const layer = layerOf(2, 4, true);
  checkGradients((x) => layer.forward(x), [normal([2, 4, 2, 2], 8)]);
  layer.dispose();
});

scopedTest("inputs that do not fit are errors", () => {
  const layer = new GroupNorm(2, 4);
  expect(() => layer.forward(normal([2, 6, 3, 3]))).toThrow(TorchError);
  expect(() => layer.forward(normal([2, 4, 3, 3]).to({ device: elsewhere }))).toThrow("must be on the input's device");
  expect(() => layer.forward(normal([2, 5, 3, 3]))).toThrow("stf::group_norm_silu (x Double[2, 5, 3, 3]");
  layer.dispose();
});

/** The GroupNorm layer, whose channels_last path is a loop of the addon, against libtorch's operators in float64. */

import { GroupNorm, grad, groupNorm, manualSeed, noGrad, ones, type Tensor, TorchError } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { checkGradients, elsewhere, expectClose, normal, scopedTest } from "../support.js";

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

scopedTest("frozen parameters and shifts get no gradient, and the input's is the same to the last bit", () => {
  const layer = layerOf(4, 24, true);
  const x = normal([3, 24, 5, 7], 7).float().to({ memoryFormat: "channelsLast" }).requiresGrad_();
  const shift = normal([3, 24], 8).float().requiresGrad_();
  const inputs = [shift, layer.weight, layer.bias];
  const gradients = (): (Tensor | null)[] => {
    layer.forward(x, { shift }).square().sum().backward();
    return [x, ...inputs].map((input) => {
      const gradient = input.grad;
      input.grad = null;
      return gradient;
    });
  };
  const [trained, ...others] = gradients();
  expect(others.map((gradient) => gradient?.shape)).toEqual([[3, 24], [24], [24]]);
  for (const input of inputs) input.requiresGrad_(false);
  const [frozen, ...none] = gradients();
  expect(frozen!.equal(trained!)).toBe(true);
  expect(none).toEqual([null, null, null]);
  layer.dispose();
});

scopedTest("gradients in float64 equal central differences", () => {
  const layer = layerOf(2, 4, true);
  checkGradients((x) => layer.forward(x), [normal([2, 4, 2, 2], 8)]);
  layer.dispose();
});

scopedTest("inputs that do not fit are errors", () => {
  const layer = new GroupNorm(2, 4);
  expect(() => layer.forward(normal([2, 6, 3, 3]))).toThrow(TorchError);
  expect(() => layer.forward(normal([2, 4, 3, 3]).to({ device: elsewhere }))).toThrow("must be on the input's device");
  expect(() => layer.forward(normal([2, 5, 3, 3]))).toThrow("stf::group_norm (x Double[2, 5, 3, 3]");
  layer.dispose();
});

describe("with a shift, a modulation and dropout", () => {
  const key = 0xfedc_ba98_7654_3210n;

  /** What dropout leaves of ones. A group norm of zero variance with a bias of one gives ones. */
  const maskOf = (
    shape: readonly number[],
    dropout: { probability: number; key?: bigint; first?: number },
    dtype: "float32" | "float64" = "float32",
  ): Tensor => {
    const layer = new GroupNorm(1, shape[1]!);
    noGrad(() => layer.bias.fill_(1));
    const mask = layer.forward(ones(shape, { dtype }).to({ memoryFormat: "channelsLast" }), { dropout });
    layer.dispose();
    return mask;
  };

  for (const [groups, shape] of shapes) {
    scopedTest(`${groups} groups of [${shape}], values and gradients`, () => {
      const [batch, channels] = shape as [number, number];
      const layer = layerOf(groups, channels, true);
      const inputs = [
        normal(shape, 3).add(1),
        layer.weight.double(),
        layer.bias.double(),
        ...[10, 11, 12].map((seed) => normal([batch, channels], seed)),
      ].map((input) => input.detach().requiresGrad_());
      const [x, weight, bias, shift, scale, offset] = inputs as [Tensor, Tensor, Tensor, Tensor, Tensor, Tensor];
      const rows = (row: Tensor): Tensor => row.unsqueeze(2).unsqueeze(3);
      const dropout = { probability: 0.3, key, first: 5 };
      const mask = maskOf(shape, dropout, "float64");
      const expected = groupNorm(x.add(rows(shift)), groups, weight, bias, 1e-5)
        .mul(rows(scale).add(1))
        .add(rows(offset))
        .silu()
        .mul(mask);
      const dy = normal(shape, 4);
      const gradients = grad([expected], inputs, { gradOutputs: [dy] });
      for (const [memoryFormat, double] of [
        ["channelsLast", false],
        ["contiguous", false],
        ["contiguous", true],
      ] as const) {
        const lower = (input: Tensor): Tensor => (double ? input.detach() : input.detach().float());
        const [x1, shift1, scale1, offset1] = [x, shift, scale, offset].map((input) =>
          lower(input)
            .to(input === x ? { memoryFormat } : {})
            .requiresGrad_(),
        ) as [Tensor, Tensor, Tensor, Tensor];
        const y = layer.forward(x1, { shift: shift1, modulation: { scale: scale1, offset: offset1 }, dropout });
        expectClose(y.double(), expected, { rtol: 1e-5, atol: 1e-5 });
        const found = grad([y], [x1, layer.weight, layer.bias, shift1, scale1, offset1], {
          gradOutputs: [double ? dy : dy.float()],
        });
        for (const [i, gradient] of gradients.entries()) {
          const largest = gradient.abs().max().item();
          // Gradients of rows are sums over pixels that cancel, to 0 where a group is one channel.
          expectClose(found[i]!.double(), gradient, { rtol: 1e-4, atol: (i < 3 ? 3e-6 : 1e-5) * Math.max(largest, 1) });
        }
      }
      layer.dispose();
    });
  }

  scopedTest("in bfloat16, gradients to the precision of that", () => {
    const layer = layerOf(4, 24, true);
    const dropout = { probability: 0.5, key };
    const x = normal([2, 24, 6, 6], 5).to({ dtype: "bfloat16", memoryFormat: "channelsLast" }).requiresGrad_();
    const exact = x.detach().double().requiresGrad_();
    const dy = normal([2, 24, 6, 6], 6).to({ dtype: "bfloat16" });
    const [found] = grad([layer.forward(x, { dropout })], [x], { gradOutputs: [dy] });
    const [expected] = grad([layer.forward(exact, { dropout })], [exact], { gradOutputs: [dy.double()] });
    expectClose(found!.double(), expected!, { rtol: 2 ** -7, atol: 0.01 });
    layer.dispose();
  });

  scopedTest("can be differentiated twice", () => {
    const layer = layerOf(2, 4, true);
    const dropout = { probability: 0.3, key };
    const penalty = (x: Tensor, shift: Tensor): Tensor => {
      const [x1, shift1] = [x, shift].map((input) => input.detach().requiresGrad_()) as [Tensor, Tensor];
      const y = layer.forward(x1, { shift: shift1, dropout }).sin().sum();
      const slopes = grad([y], [x1, shift1], { createGraph: true });
      return grad([slopes[0]!.square().sum().add(slopes[1]!.square().sum())], [shift1])[0]!;
    };
    const [x, shift] = [normal([2, 4, 3, 2], 7), normal([2, 4], 8)];
    const expected = penalty(x, shift);
    const found = penalty(x.float().to({ memoryFormat: "channelsLast" }), shift.float());
    expectClose(found.double(), expected, { rtol: 1e-3, atol: 1e-4 });
    layer.dispose();
  });

  scopedTest("a mask depends on the key and the sample's number, not on the others in the batch", () => {
    const shape = (batch: number): number[] => [batch, 20, 5, 3];
    const together = maskOf(shape(4), { probability: 0.4, key, first: 7 });
    for (let n = 0; n < 4; n++) {
      const alone = maskOf(shape(1), { probability: 0.4, key, first: 7 + n });
      expect(alone.equal(together.narrow(0, n, 1))).toBe(true);
    }
    expect(maskOf(shape(4), { probability: 0.4, key: key + 1n, first: 7 }).equal(together)).toBe(false);
    // The same mask in float64 and in the other layout, where no loop computes it.
    expect(
      maskOf(shape(4), { probability: 0.4, key, first: 7 }, "float64")
        .float()
        .mul(0.6)
        .round()
        .equal(together.mul(0.6).round()),
    ).toBe(true);
  });

  scopedTest("without a key, the global seed decides", () => {
    const draw = (): Tensor => maskOf([2, 16, 4, 4], { probability: 0.5 });
    manualSeed(3);
    const [first, second] = [draw(), draw()];
    manualSeed(3);
    expect(draw().equal(first)).toBe(true);
    expect(draw().equal(second)).toBe(true);
    expect(first.equal(second)).toBe(false);
  });

  test("masks are independent: of each other, of their neighbours, and with the right probability", () => {
    const [batch, channels, size] = [16, 64, 32];
    const count = batch * channels * size * size;
    for (const probability of [0.13, 0.5]) {
      const draws = [0n, 1n, 2n ** 40n].map((difference) => {
        using mask = maskOf([batch, channels, size, size], { probability, key: key + difference });
        using dropped = mask.eq(0).float();
        return dropped.sub(probability).div(Math.sqrt(probability * (1 - probability)));
      });
      // Standardised, so that each mean below is normal with deviation 1 / sqrt(count): 4.5 deviations are 7 in a million.
      const bound = 4.5 / Math.sqrt(count);
      const expectUncorrelated = (a: Tensor, b: Tensor): void =>
        expect(Math.abs(a.mul(b).sum().item() / count)).toBeLessThan(bound);
      for (const [i, draw] of draws.entries()) {
        expect(Math.abs(draw.mean().item())).toBeLessThan(bound);
        for (const [axis, shift] of [
          [0, 1],
          [1, 1],
          [1, 16],
          [2, 1],
          [3, 1],
          [3, 16],
        ] as const) {
          const length = draw.size(axis) - shift;
          expectUncorrelated(draw.narrow(axis, 0, length), draw.narrow(axis, shift, length));
        }
        for (const other of draws.slice(i + 1)) expectUncorrelated(draw, other);
      }
      for (const draw of draws) draw.dispose();
    }
  });

  scopedTest("what does not fit is an error", () => {
    const layer = new GroupNorm(2, 4);
    const x = normal([2, 4, 3, 3]);
    expect(() => layer.forward(x, { shift: normal([4]) })).toThrow(
      "shift must have one per sample and channel, for [2, 4]",
    );
    expect(() => layer.forward(x, { shift: normal([3, 4]) })).toThrow("found [3, 4]");
    expect(() => layer.forward(x, { dropout: { probability: 1 } })).toThrow("in [0, 1), found 1");
    layer.dispose();
  });
});

/** Layers and optimizers on the device that STF_TEST_DEVICE names, the CPU by default, against the CPU in float64. */

import {
  Adam,
  attention,
  Conv2d,
  clipGradientNorm,
  type Device,
  type DType,
  ExponentialMovingAverage,
  FlatParameters,
  GroupNorm,
  grad,
  gradientNorm,
  Linear,
  type MemoryFormat,
  Module,
  manualSeed,
  noGrad,
  ones,
  scaledAdd_,
  type Tensor,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { device, expectClose, normal, scopedTest } from "./support.js";

interface Place {
  readonly dtype: DType;
  readonly device: Device;
  readonly memoryFormat: MemoryFormat;
}

/** How far results may be off, relative to the largest. Factors that were rounded to TF32 would put them off by 1e-3. */
const places: readonly [Omit<Place, "device">, tolerance: number][] = [
  [{ dtype: "float32", memoryFormat: "channelsLast" }, 3e-5],
  [{ dtype: "float32", memoryFormat: "contiguous" }, 3e-5],
  [{ dtype: "float64", memoryFormat: "channelsLast" }, 1e-7],
  [{ dtype: "bfloat16", memoryFormat: "channelsLast" }, 0.03],
];

class NoParameters extends Module {}

/**
 * The value of `f` and its derivatives with respect to inputs and parameters, there against float64 here. Parameters are
 * float32 everywhere.
 */
function compare<M extends Module>(
  module: M,
  f: (module: M, ...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
): void {
  const derivatives = ({ dtype, device: at, memoryFormat }: Place): Tensor[] => {
    module.to(at);
    const leaves = inputs.map((input) => {
      const format = input.rank === 4 ? memoryFormat : "preserve";
      return input.to({ dtype, device: at, memoryFormat: format }).requiresGrad_();
    });
    const y = f(module, ...leaves);
    expect(y.dtype).toBe(dtype);
    expect(y.device.startsWith(at)).toBe(true);
    const dy = normal(y.shape, 99).to({ dtype, device: at });
    return [y.detach(), ...grad([y], [...leaves, ...module.parameters()], { gradOutputs: [dy] })];
  };
  const expected = derivatives({ dtype: "float64", device: "cpu", memoryFormat: "contiguous" });
  for (const [place, tolerance] of places) {
    const found = derivatives({ ...place, device });
    found.forEach((result, i) => {
      const scale = expected[i]!.abs().max().item();
      expectClose(result, expected[i]!, { rtol: tolerance, atol: tolerance * scale });
    });
  }
  module.dispose();
}

describe("GroupNorm, values and gradients", () => {
  const x = normal([2, 8, 5, 4], 1).add(0.7);
  const rows = [2, 3].map((seed) => normal([2, 8], seed).mul(0.5));
  const layer = (silu: boolean): GroupNorm => {
    const module = new GroupNorm(2, 8, { silu });
    noGrad(() => {
      module.weight.copy_(normal([8], 4));
      module.bias.copy_(normal([8], 5));
    });
    return module;
  };
  scopedTest("of many pixels, with fewer channels in a group than go through memory at once", () => {
    const module = new GroupNorm(16, 64, { silu: true });
    const image = normal([3, 64, 12, 11], 6).mul(2).sub(1);
    compare(module, (layer, input, shift) => layer.forward(input!, { shift }), [image, normal([3, 64], 7)]);
  });
  for (const silu of [false, true]) {
    const name = silu ? ", SiLU" : "";
    scopedTest(`plain${name}`, () => compare(layer(silu), (module, image) => module.forward(image), [x]));
    scopedTest(`with a shift${name}`, () =>
      compare(layer(silu), (module, image, shift) => module.forward(image, { shift }), [x, rows[0]!]),
    );
    scopedTest(`with a modulation${name}`, () =>
      compare(
        layer(silu),
        (module, image, scale, offset) => module.forward(image, { modulation: { scale: scale!, offset: offset! } }),
        [x, ...rows],
      ),
    );
  }
});

describe("dropout", () => {
  const shape = [6, 32, 16, 16];
  const key = 0xfedc_ba98_7654_3210n;

  /** What dropout leaves of ones: a group norm without weight and with a bias of one gives ones. */
  const maskOf = (dropout: { probability: number; key?: bigint; first?: number }): Tensor => {
    const layer = new GroupNorm(1, shape[1]!).to(device);
    noGrad(() => {
      layer.weight.zero_();
      layer.bias.fill_(1);
    });
    const images = ones(shape, { device }).to({ memoryFormat: "channelsLast" });
    const mask = layer.forward(images, { dropout }).detach();
    layer.dispose();
    return mask;
  };

  for (const probability of [0.1, 0.5]) {
    scopedTest(`with probability ${probability} keeps its share, and divides by it`, () => {
      const mask = maskOf({ probability, key });
      expectClose(mask.max(), 1 / (1 - probability));
      expect(mask.ne(0).mul(mask.max()).equal(mask)).toBe(true);
      const deviation = (count: number): number => Math.sqrt((probability * (1 - probability)) / count);
      const kept = mask.ne(0).double();
      expect(Math.abs(kept.mean().item() - (1 - probability))).toBeLessThan(4 * deviation(kept.numel));
      // By sample, channel and pixel: 6, 32 and 256 shares, of which none is off by five deviations.
      for (const axes of [
        [1, 2, 3],
        [0, 2, 3],
        [0, 1],
      ]) {
        const shares = kept.mean(axes);
        const worst = shares
          .sub(1 - probability)
          .abs()
          .max()
          .item();
        expect(worst).toBeLessThan(5 * deviation(kept.numel / shares.numel));
      }
    });
  }

  scopedTest("follows the key and the number of the first sample, or the seed without a key", () => {
    const mask = maskOf({ probability: 0.5, key });
    expect(mask.equal(maskOf({ probability: 0.5, key }))).toBe(true);
    for (const other of [
      { probability: 0.5, key: key + 1n },
      { probability: 0.5, key, first: 1 },
      { probability: 0.5 },
    ]) {
      const agreement = mask.eq(maskOf(other)).double().mean().item();
      expect(Math.abs(agreement - 0.5)).toBeLessThan(4 * Math.sqrt(0.25 / mask.numel));
    }
    const seeded = [1, 1, 2].map((seed) => {
      manualSeed(seed);
      return maskOf({ probability: 0.5 });
    });
    expect([seeded[0]!.equal(seeded[1]!), seeded[0]!.equal(seeded[2]!)]).toEqual([true, false]);
  });

  scopedTest("drops the same activations in the backward pass", () => {
    const layer = new GroupNorm(4, 32, { silu: true }).to(device);
    const x = normal([2, 32, 8, 8], 6).float().to({ device, memoryFormat: "channelsLast" }).requiresGrad_();
    const dropout = { probability: 0.4, key, first: 3 };
    const [plain, dropped] = [layer.forward(x), layer.forward(x, { dropout })];
    const mask = dropped.detach().ne(0).float().div(0.6);
    expectClose(dropped.detach(), plain.detach().mul(mask), { rtol: 1e-5, atol: 1e-6 });
    const dy = normal([2, 32, 8, 8], 7).float().to({ device });
    const inputs = [x, ...layer.parameters()];
    const expected = grad([plain], inputs, { gradOutputs: [dy.mul(mask)] });
    const found = grad([dropped], inputs, { gradOutputs: [dy] });
    found.forEach((gradient, i) => void expectClose(gradient, expected[i]!, { rtol: 1e-4, atol: 1e-5 }));
    layer.dispose();
  });
});

describe("attention, values and gradients", () => {
  for (const [batch, heads, channels, height, width] of [
    [2, 1, 32, 4, 8],
    [3, 2, 64, 8, 8],
    [1, 3, 24, 3, 5],
  ] as const) {
    scopedTest(`${heads} heads of ${channels} channels, ${height}x${width} pixels`, () => {
      const qkv = normal([batch, 3 * heads * channels, height, width], 1);
      compare(new NoParameters(), (_, x) => attention(x!, heads), [qkv]);
    });
  }
});

describe("Linear, values and gradients", () => {
  // As many rows as a rounded sum could not hold.
  for (const rows of [16, 512]) {
    scopedTest(`${rows} rows`, () => {
      manualSeed(1);
      compare(new Linear(64, 96), (layer, x) => layer.forward(x!), [normal([rows, 64], 1)]);
    });
  }
});

describe("Conv2d, values and gradients", () => {
  const x = normal([4, 32, 12, 12], 1);
  const layers: Record<string, () => Conv2d> = {
    "3x3": () => new Conv2d(32, 64, 3, { padding: 1 }),
    "3x3 without a bias": () => new Conv2d(32, 32, 3, { padding: 1, bias: false }),
    "3x3 to three channels": () => new Conv2d(32, 3, 3, { padding: 1 }),
    "3x3 with a stride": () => new Conv2d(32, 16, 3, { padding: 1, stride: 2 }),
    "3x3 in groups": () => new Conv2d(32, 32, 3, { padding: 1, groups: 4 }),
    "1x1": () => new Conv2d(32, 48, 1),
  };
  for (const [name, make] of Object.entries(layers)) {
    scopedTest(name, () => {
      manualSeed(1);
      compare(make(), (layer, image) => layer.forward(image!), [x]);
    });
  }
});

describe("scaledAdd_, values and gradients", () => {
  for (const shape of [
    [2, 8, 3, 3],
    [3, 64, 12, 11],
  ]) {
    const inputs = [normal(shape, 1), normal(shape, 2)];
    // What is written to is no leaf.
    scopedTest(`of ${shape}`, () =>
      compare(new NoParameters(), (_, a, b) => scaledAdd_(a!.mul(2), b!, Math.SQRT1_2), inputs),
    );
    scopedTest(`of ${shape} with a bias`, () =>
      compare(new NoParameters(), (_, a, b, bias) => scaledAdd_(a!.mul(2), b!, Math.SQRT1_2, bias!), [
        ...inputs,
        normal([shape[1]!], 3),
      ]),
    );
  }
});

describe("flat parameters", () => {
  /** The flat parameters of a layer, with known values. */
  function flatLinear(): { flat: FlatParameters; dispose(): void } {
    const module = new Linear(50, 30).to(device);
    const flat = new FlatParameters(module);
    flat.values.copy_(normal(flat.values.shape, 1));
    const dispose = (): void => {
      flat.dispose();
      module.dispose();
    };
    return { flat, dispose };
  }

  scopedTest("Adam with weight decay and an average, six steps against the algorithm in float64", () => {
    const [{ flat, dispose }, averaged] = [flatLinear(), flatLinear()];
    const [beta1, beta2, eps, weightDecay] = [0.8, 0.95, 1e-6, 0.1];
    const adam = new Adam(flat, { betas: [beta1, beta2], eps, weightDecay });
    const ema = new ExponentialMovingAverage(flat, averaged.flat);
    let values = flat.values.to({ dtype: "float64", device: "cpu" });
    let [first, second, average] = [values.mul(0), values.mul(0), values];
    for (let step = 1; step <= 6; step++) {
      const [gradient, lr, decay] = [normal(values.shape, 10 + step).mul(10 ** (step - 4)), 0.1 / step, 0.9];
      flat.gradients.copy_(gradient);
      adam.step(lr, { ema, decay });
      first = first.mul(beta1).add(gradient, { alpha: 1 - beta1 });
      second = second.mul(beta2).add(gradient.square(), { alpha: 1 - beta2 });
      const [m, v] = [first.div(1 - beta1 ** step), second.div(1 - beta2 ** step)];
      values = values.mul(1 - lr * weightDecay).sub(m.mul(lr).div(v.sqrt().add(eps)));
      average = average.mul(decay).add(values, { alpha: 1 - decay });
    }
    expect(adam.stepCount).toBe(6);
    for (const [found, expected] of [
      [flat.values, values],
      [averaged.flat.values, average],
      [adam.expAvg, first],
      [adam.expAvgSq, second],
    ] as const) {
      expectClose(found, expected, { rtol: 2e-5, atol: 2e-6 * expected.abs().max().item() });
    }
    for (const part of [adam, { dispose }, averaged]) part.dispose();
  });

  scopedTest("the norm of all gradients, and clipping to one", () => {
    const { flat, dispose } = flatLinear();
    const gradients = normal(flat.gradients.shape, 3).mul(100);
    flat.gradients.copy_(gradients);
    const norm = Math.sqrt(gradients.square().sum().item());
    expect(gradientNorm(flat) / norm).toBeCloseTo(1, 5);
    expect(clipGradientNorm(flat, 2 * norm) / norm).toBeCloseTo(1, 5);
    expectClose(flat.gradients, gradients, { rtol: 1e-6 });
    clipGradientNorm(flat, 3);
    expectClose(flat.gradients, gradients.mul(3 / norm), { rtol: 1e-5 });
    dispose();
  });
});

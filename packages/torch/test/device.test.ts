/** Tensors on the device that STF_TEST_DEVICE names, the CPU by default: their bytes, their life, modules and files. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  Adam,
  Conv2d,
  cat,
  conv2d,
  conv3x3,
  type DType,
  ExponentialMovingAverage,
  FlatParameters,
  Generator,
  GroupNorm,
  keep,
  Linear,
  loadSafetensors,
  type Module,
  memory,
  noGrad,
  randn,
  relativeSquaredDistances,
  saveSafetensors,
  scaledAdd_,
  scope,
  type Tensor,
  TorchError,
  tensor,
  weightedRowSum,
  zeros,
} from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { device, elsewhere, expectClose, normal, scopedTest } from "./support.js";

const dtypes: readonly DType[] = ["uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64", "bool"];

const expectSameBits = (found: Tensor, expected: Tensor): void => {
  expect(found.dtype).toBe(expected.dtype);
  expect(found.shape).toEqual(expected.shape);
  expect(found.toTypedArray()).toEqual(expected.toTypedArray());
};

describe("bytes in and out", () => {
  for (const dtype of dtypes) {
    scopedTest(`${dtype} there and back, and cast there`, () => {
      const numbers = normal([50], 1).mul(40).add(120).clamp(0, 255.4);
      const here = numbers.to({ dtype });
      expectSameBits(here.to({ device }), here);
      expectSameBits(numbers.to({ device }).to({ dtype }), here);
      expectSameBits(numbers.to({ dtype, device }), here);
      expectSameBits(numbers.float().to({ device }).to({ dtype }), numbers.float().to({ dtype }));
      expectClose(here.to({ device }).to({ dtype: "float64" }), here.double(), { rtol: 0, atol: 0 });
    });
  }

  scopedTest("arrays are made and read there", () => {
    const x = tensor(
      [
        [1, 2.5, -3],
        [4, 5, 6],
      ],
      { device },
    );
    expect(x.device.startsWith(device)).toBe(true);
    expect(x.toArray()).toEqual([
      [1, 2.5, -3],
      [4, 5, 6],
    ]);
    expect(x.t().toArray()).toEqual([
      [1, 4],
      [2.5, 5],
      [-3, 6],
    ]);
    expect(x.select(1, 1).toFloat32Array()).toEqual(Float32Array.of(2.5, 5));
    expect(x.to({ dtype: "bfloat16" }).toFloat32Array()).toEqual(Float32Array.of(1, 2.5, -3, 4, 5, 6));
    expect(x.sum().item()).toBe(15.5);
    expect(x.gt(2).all().item()).toBe(0);
    expect(tensor(Float64Array.of(0.1), { dtype: "bfloat16", device }).item()).toBe(0.10009765625);
    expect(x.toString()).toContain(`float32[2, 3] ${device}`);
  });

  scopedTest("arrays may change as soon as tensors were made of them, large or small", () => {
    const sums = [2 ** 19, 1000].map((count) => {
      const numbers = Float32Array.from({ length: count }, (_, i) => i);
      const copy = tensor(numbers, { device });
      numbers.fill(-1);
      return copy.sum([0], false, { dtype: "float64" }).item();
    });
    expect(sums).toEqual([2 ** 18 * (2 ** 19 - 1), 499_500]);
    const single = new Float32Array(1);
    const many = Array.from({ length: 500 }, (_, i) => {
      single[0] = i;
      return tensor(single, { device });
    });
    expect(cat(many).toFloat32Array()).toEqual(Float32Array.from({ length: 500 }, (_, i) => i));
  });

  scopedTest("the order in memory goes along", () => {
    const x = normal([2, 3, 4, 5]).to({ memoryFormat: "channelsLast" });
    const there = x.to({ device });
    expect(there.strides).toEqual(x.strides);
    expectSameBits(there, x);
    const turned = normal([2, 3, 4, 5]).to({ device }).to({ memoryFormat: "channelsLast" });
    expect(turned.strides).toEqual(x.strides);
    expectSameBits(turned, x);
    expect(turned.contiguous().strides).toEqual([60, 20, 5, 1]);
    expectSameBits(turned.contiguous(), x);
    expect(turned.mul(2).strides).toEqual(x.strides);
  });
});

describe("tensors of two devices", () => {
  // Without a second device with memory, libtorch notices less.
  const isAlone = device === "cpu";
  const other = isAlone ? elsewhere : "cpu";
  const here = (shape: readonly number[] = [2, 2]): Tensor => normal(shape, 1).float().to({ device });
  const away = (shape: readonly number[] = [2, 2]): Tensor => normal(shape, 2).float().to({ device: other });
  const noticed: Record<string, () => void> = {
    add: () => void here().add(away()),
    addcmul: () => void here().addcmul(away(), here()),
    lerp_: () => void here().lerp_(away(), 0.5),
    scaledAdd_: () => void scaledAdd_(here(), away(), 1),
    "a gradient": () => {
      here().grad = away();
    },
    "GroupNorm of another device's images": () =>
      withModule(new GroupNorm(1, 2), (layer) => layer.forward(away([1, 2, 3, 3]))),
  };
  const noticedOnGpus: Record<string, () => void> = {
    mm: () => void here().mm(away()),
    cat: () => void cat([here(), away()]),
    indexSelect: () => void here().indexSelect(0, zeros([1], { dtype: "int64", device: other })),
    conv2d: () => void conv2d(here([1, 1, 3, 3]), away([1, 1, 3, 3])),
    conv3x3: () => void conv3x3(here([1, 1, 3, 3]), away([1, 1, 3, 3]), null),
    "a generator": () => {
      using generator = new Generator(0, other);
      randn([2], { generator, device });
    },
    weightedRowSum: () => void weightedRowSum(away([3, 2]), here([2, 5])),
    relativeSquaredDistances: () => {
      const steps = zeros([2], { dtype: "float64", device });
      relativeSquaredDistances({ origins: here(), directions: here(), steps }, away());
    },
    "Linear of another device's vectors": () => withModule(new Linear(2, 2), (layer) => layer.forward(away())),
    "Adam with another device's average": () =>
      withModule(new Linear(2, 2), (layer) => {
        const averaged = new Linear(2, 2);
        const [flat, average] = [new FlatParameters(layer), new FlatParameters(averaged, { trainable: false })];
        const adam = new Adam(flat);
        try {
          adam.step(0.1, { ema: new ExponentialMovingAverage(flat, average), decay: 0.5 });
        } finally {
          for (const part of [adam, flat, average, averaged]) part.dispose();
        }
      }),
  };

  function withModule<M extends Module>(module: M, body: (module: M) => void): void {
    try {
      body(module.to(device));
    } finally {
      module.dispose();
    }
  }

  for (const [name, mix] of Object.entries({ ...noticed, ...(isAlone ? {} : noticedOnGpus) })) {
    scopedTest(`${name}: one clear error`, () => {
      let caught: unknown;
      try {
        mix();
      } catch (error) {
        caught = error;
      }
      expect(caught).toBeInstanceOf(TorchError);
      const { message } = caught as TorchError;
      expect(message).toMatch(/device|type/i);
      expect(message).not.toContain("\n");
    });
  }
});

describe("memory", () => {
  test("counts what lies there, and a scope frees it", () => {
    const before = memory();
    scope(() => {
      const x = zeros([1000], { device });
      x.view([10, 100]);
      expect(memory()).toEqual({ tensors: before.tensors + 2, bytes: before.bytes + 4000 });
      scope(() => void x.mul(2).add(1));
      expect(memory().bytes).toBe(before.bytes + 4000);
    });
    expect(memory()).toEqual(before);
  });

  test("what is kept outlives its scope", () => {
    const before = memory();
    const kept = scope(() => keep(zeros([250], { device }).add(1)));
    expect(memory()).toEqual({ tensors: before.tensors + 1, bytes: before.bytes + 1000 });
    expect(kept.toFloat32Array()).toEqual(new Float32Array(250).fill(1));
    kept.dispose();
    expect(memory()).toEqual(before);
  });
});

describe("modules", () => {
  scopedTest("go there and back with all they hold, and compute the same", () => {
    const layer = new Conv2d(3, 4, 3, { padding: 1 });
    const [x, weights] = [normal([2, 3, 5, 5]).float(), layer.weight.clone()];
    const expected = layer.forward(x);
    const parameters = layer.parameters();
    layer.to(device);
    expect(layer.device.startsWith(device)).toBe(true);
    expect(layer.parameters()).toEqual(parameters);
    expectClose(layer.forward(x.to({ device })), expected, { rtol: 1e-4, atol: 1e-5 });
    layer.forward(x.to({ device })).square().sum().backward();
    expect(layer.weight.grad!.device).toBe(layer.weight.device);
    layer.to("cpu");
    expectSameBits(layer.weight.detach(), weights.detach());
    layer.dispose();
  });

  scopedTest("share one flat tensor there, whose gradients are views as well", () => {
    const layer = new Conv2d(2, 3, 3).to(device);
    const weights = layer.weight.detach().clone();
    const flat = new FlatParameters(layer);
    expect(flat.values.device).toBe(layer.device);
    expectSameBits(layer.weight.detach(), weights);
    layer
      .forward(normal([1, 2, 5, 5]).float().to({ device }))
      .sum()
      .backward();
    const views = flat.viewsOf(flat.gradients);
    expectSameBits(views.get("weight")!, layer.weight.grad!);
    expect(flat.gradients.abs().sum().item()).toBeGreaterThan(1);
    noGrad(() => void flat.values.zero_());
    expect(layer.weight.abs().sum().item()).toBe(0);
    flat.dispose();
    layer.dispose();
  });
});

describe("safetensors files", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "device-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  scopedTest("hold the bits of tensors that lie there", () => {
    const path = join(folder, "file.safetensors");
    const originals = new Map(dtypes.map((dtype) => [dtype as string, normal([3, 7], 4).mul(9).abs().to({ dtype })]));
    originals.set("channels_last", normal([2, 3, 4, 4]).to({ memoryFormat: "channelsLast" }));
    originals.set("a view", normal([4, 6]).t().narrow(0, 1, 3));
    saveSafetensors(path, new Map([...originals].map(([name, value]) => [name, value.to({ device })])));
    const { tensors } = loadSafetensors(path);
    expect([...tensors.keys()].sort()).toEqual([...originals.keys()].sort());
    for (const [name, loaded] of tensors) {
      expect(loaded.device).toBe("cpu");
      expectSameBits(loaded, originals.get(name)!);
      expectSameBits(loaded.to({ device }), originals.get(name)!);
    }
  });
});

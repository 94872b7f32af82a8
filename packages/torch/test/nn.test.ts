import {
  Conv2d,
  Embedding,
  FlatParameters,
  GroupNorm,
  type Initializer,
  kaimingNormal,
  kaimingUniform,
  Linear,
  Module,
  ModuleDict,
  manualSeed,
  memory,
  noGrad,
  ones,
  randn,
  ShapeError,
  type Tensor,
  tensor,
  xavierNormal,
  xavierUniform,
  zeros,
  zerosInitializer,
} from "@stf/torch";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expectClose, normal, scopedTest } from "./support.js";

class Block extends Module {
  readonly norm: GroupNorm;
  readonly conv: Conv2d;
  readonly scale: Tensor;

  constructor(channels: number) {
    super();
    // Registered last, listed first: a module's own tensors come before those of its parts, as in PyTorch.
    this.norm = this.registerModule("norm", new GroupNorm(2, channels));
    this.conv = this.registerModule("conv", new Conv2d(channels, channels, 3, { padding: 1 }));
    this.registerBuffer("count", zeros([1], { dtype: "int64" }));
    this.scale = this.registerParameter("scale", ones([1]));
  }

  forward(x: Tensor): Tensor {
    return this.conv
      .forward(this.norm.forward(x).silu())
      .mul(this.scale.to({ dtype: x.dtype }))
      .add(x);
  }
}

class Network extends Module {
  readonly block = this.registerModule("block", new Block(4));
  readonly head = this.registerModule("head", new Linear(4, 3, { bias: false }));

  forward(x: Tensor): Tensor {
    return this.head.forward(this.block.forward(x).mean([2, 3]));
  }
}

const keys = [
  "block.scale",
  "block.count",
  "block.norm.weight",
  "block.norm.bias",
  "block.conv.weight",
  "block.conv.bias",
  "head.weight",
];

let before: number;
let network: Network;
beforeEach(() => {
  manualSeed(0);
  before = memory().tensors;
  network = new Network();
});
afterEach(() => {
  network.dispose();
  expect(memory().tensors).toBe(before);
});

describe("Module", () => {
  test("names its state as PyTorch does, in its order", () => {
    expect([...network.stateDict().keys()]).toEqual(keys);
    expect(Array.from(network.namedParameters(), ([name]) => name)).toEqual(
      keys.filter((key) => key !== "block.count"),
    );
    expect(Array.from(network.namedBuffers(), ([name]) => name)).toEqual(["block.count"]);
    expect(network.parameterCount).toBe(1 + 4 + 4 + 4 * 4 * 9 + 4 + 12);
    expect(network.parameters().every((parameter) => parameter.requiresGrad)).toBe(true);
    expect(network.stateDict().get("block.count")!.requiresGrad).toBe(false);
  });

  test("a ModuleDict names parts in the order of adding", () => {
    const parts = new ModuleDict();
    const second = parts.add("8x8_b", new Linear(1, 1, { bias: false }));
    parts.add("4x4_a", new Linear(1, 1));
    expect([...parts.stateDict().keys()]).toEqual(["8x8_b.weight", "4x4_a.weight", "4x4_a.bias"]);
    expect(parts.namedChildren().get("8x8_b")).toBe(second);
    parts.dispose();
  });

  test("refuses a name twice", () => {
    class Twice extends Module {
      constructor() {
        super();
        this.registerModule("part", network.head);
        this.registerModule("part", network.head);
      }
    }
    expect(() => new Twice()).toThrow('"part" is registered already, or empty');
    expect(() => new GroupNorm(3, 4)).toThrow(RangeError);
  });

  test("train and eval reach every part", () => {
    const modes = (): boolean[] =>
      [network, network.block, network.block.conv, network.head].map(({ training }) => training);
    expect(modes()).toEqual([true, true, true, true]);
    expect(network.eval()).toBe(network);
    expect(modes()).toEqual([false, false, false, false]);
    network.block.train();
    expect(modes()).toEqual([false, true, true, false]);
  });

  scopedTest("loads what another of its kind holds", () => {
    const other = new Network();
    const x = randn([2, 4, 5, 5]);
    expect(network.forward(x).allclose(other.forward(x))).toBe(false);
    network.loadStateDict(other.stateDict());
    expect(network.forward(x).equal(other.forward(x))).toBe(true);
    expect(network.parameters().every(({ requiresGrad, isLeaf }) => requiresGrad && isLeaf)).toBe(true);
    other.dispose();
  });

  scopedTest("moving to a device leaves values, gradients and nothing else", () => {
    const x = randn([2, 4, 5, 5]);
    const y = network.forward(x);
    const { tensors } = memory();
    expect(network.to("cpu")).toBe(network);
    expect(memory().tensors).toBe(tensors);
    expect(network.forward(x).equal(y)).toBe(true);
  });

  scopedTest("copies nothing when names or shapes do not fit", () => {
    const original = new Map(Array.from(network.stateDict(), ([name, value]) => [name, value.clone()]));
    const state = (change: (map: Map<string, Tensor>) => void): Map<string, Tensor> => {
      const map = new Map(Array.from(original, ([name, value]) => [name, value.onesLike()]));
      change(map);
      return map;
    };
    const extra = state((map) => map.set("extra", ones([1])));
    const lacking = state((map) => map.delete("head.weight"));
    const transposed = state((map) => map.set("head.weight", ones([4, 3])));
    expect(() => network.loadStateDict(extra)).toThrow(ShapeError);
    expect(() => network.loadStateDict(extra)).toThrow("unknown: extra");
    expect(() => network.loadStateDict(lacking)).toThrow("missing: head.weight");
    for (const strict of [true, false]) {
      expect(() => network.loadStateDict(transposed, { strict })).toThrow(
        "of another shape: head.weight ([3, 4] here, [4, 3] given)",
      );
    }
    for (const [name, value] of network.stateDict()) expect(value.equal(original.get(name)!), name).toBe(true);

    network.loadStateDict(extra, { strict: false });
    network.head.weight.detach().zero_();
    network.loadStateDict(lacking, { strict: false });
    expectClose(network.head.weight, zeros([3, 4]));
    expectClose(network.block.conv.bias!, ones([4]));
  });
});

describe("layers", () => {
  scopedTest("compute in the precision of their input", () => {
    const x = normal([2, 4, 5, 5], 1);
    const [single, double, half] = [
      network.forward(x.float()),
      network.forward(x),
      network.forward(x.to({ dtype: "bfloat16" })),
    ];
    expect([single.dtype, double.dtype, half.dtype]).toEqual(["float32", "float64", "bfloat16"]);
    expectClose(single.double(), double, { rtol: 1e-5, atol: 1e-6 });
    expectClose(half.double(), double, { rtol: 0.05, atol: 0.05 });
  });

  scopedTest("Embedding looks rows up", () => {
    const table = new Embedding(5, 2);
    const rows = table.forward(tensor([[4, 0, 4]], { dtype: "int64" }));
    expect(rows.shape).toEqual([1, 3, 2]);
    expectClose(rows.select(1, 2), table.weight.slice(0, 4));
    table.dispose();
  });
});

describe("initial values", () => {
  const fans = { fanIn: 72, fanOut: 200 };
  const shape = [400, 500];
  const count = 400 * 500;

  const uniform: [string, Initializer, bound: number][] = [
    ["xavierUniform", xavierUniform(2), 2 * Math.sqrt(6 / 272)],
    ["kaimingUniform", kaimingUniform(0.5), 0.5 * Math.sqrt(3 / 72)],
  ];
  for (const [name, init, bound] of uniform) {
    scopedTest(`${name} fills its interval`, () => {
      const x = init(shape, fans).double();
      expect(x.abs().max().item()).toBeLessThanOrEqual(bound * (1 + 1e-6));
      // All of n draws miss the outer 20/n of the interval with probability e^-20.
      expect(x.abs().max().item()).toBeGreaterThan(bound * (1 - 20 / count));
      // A square has mean b^2 / 3 and variance 4 b^4 / 45.
      const error = 4 * bound ** 2 * Math.sqrt(4 / 45 / count);
      expect(Math.abs(x.square().mean().item() - bound ** 2 / 3)).toBeLessThan(error);
      expect(Math.abs(x.mean().item())).toBeLessThan(4 * bound * Math.sqrt(1 / 3 / count));
    });
  }

  const gaussian: [string, Initializer, deviation: number][] = [
    ["xavierNormal", xavierNormal(0.5), 0.5 * Math.sqrt(2 / 272)],
    ["kaimingNormal", kaimingNormal(3), 3 * Math.sqrt(1 / 72)],
  ];
  for (const [name, init, deviation] of gaussian) {
    scopedTest(`${name} has its variance`, () => {
      const x = init(shape, fans).double().div(deviation);
      expect(Math.abs(x.square().mean().item() - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
      expect(Math.abs(x.pow(4).mean().item() - 3)).toBeLessThan(4 * Math.sqrt(96 / count));
    });
  }

  scopedTest("layers hand over their fans", () => {
    const seen: unknown[] = [];
    const spy: Initializer = (size, given) => {
      seen.push([size, given]);
      return zeros(size);
    };
    new Conv2d(8, 16, 3, { groups: 2, init: spy }).dispose();
    new Linear(5, 7, { init: spy, biasInit: zerosInitializer }).dispose();
    const convFans = { fanIn: 4 * 9, fanOut: 16 * 9 };
    expect(seen).toEqual([
      [[16, 4, 3, 3], convFans],
      [[16], convFans],
      [[7, 5], { fanIn: 5, fanOut: 7 }],
    ]);
  });

  scopedTest("start within 1 / sqrt(fan-in) by default, biases too", () => {
    const layer = new Linear(10_000, 100);
    for (const values of [layer.weight, layer.bias!]) {
      const largest = values.abs().max().item();
      expect(largest).toBeLessThanOrEqual(0.01);
      expect(largest).toBeGreaterThan(0.007);
    }
    layer.dispose();
  });
});

describe("FlatParameters", () => {
  let flat: FlatParameters;
  beforeEach(() => {
    flat = new FlatParameters(network);
  });
  afterEach(() => flat.dispose());

  /** Gradients of a plain copy of the network. */
  const plainGradients = (x: Tensor): Map<string, Tensor> => {
    const plain = new Network();
    plain.loadStateDict(network.stateDict());
    plain.forward(x).square().sum().backward();
    const gradients = new Map(Array.from(plain.namedParameters(), ([name, { grad }]) => [name, grad!]));
    plain.dispose();
    return gradients;
  };

  scopedTest("keeps every value, with zeros between", () => {
    const other = new Network();
    const state = new Map(Array.from(other.stateDict(), ([name, value]) => [name, value.clone()]));
    const storage = new FlatParameters(other);
    for (const [name, view] of storage.viewsOf(storage.values)) {
      expect(view.equal(state.get(name)!), name).toBe(true);
      expect(other.stateDict().get(name)!.equal(state.get(name)!), name).toBe(true);
    }
    const ownSquares = other.parameters().reduce((sum, parameter) => sum + parameter.double().square().sum().item(), 0);
    expectClose(storage.values.double().square().sum(), ownSquares, { rtol: 1e-12 });
    other.dispose();
    storage.dispose();
  });

  scopedTest("is the storage of the parameters", () => {
    const x = randn([2, 4, 5, 5]);
    const y = network.forward(x);
    noGrad(() => flat.values.mul_(2));
    expect(network.forward(x).allclose(y)).toBe(false);
    noGrad(() => flat.values.mul_(0.5));
    expect(network.forward(x).allclose(y)).toBe(true);
    noGrad(() => network.head.weight.fill_(3));
    expectClose(flat.viewsOf(flat.values).get("head.weight")!, ones([3, 4]).mul(3));
    network.loadStateDict(new Map([["block.conv.bias", ones([4])]]), { strict: false });
    expectClose(flat.viewsOf(flat.values).get("block.conv.bias")!, ones([4]));
  });

  scopedTest("has convolution weights in channels_last, and every parameter on a boundary of 64 bytes", () => {
    expect(network.block.conv.weight.strides).toEqual([36, 1, 12, 4]);
    expect(network.head.weight.strides).toEqual([4, 1]);
    expect(flat.values.shape).toEqual([16 + 16 + 16 + 144 + 16 + 16]);
    const numbered = flat.zerosLike();
    noGrad(() => numbered.copy_(tensor(Float32Array.from({ length: 224 }, (_, i) => i))));
    const starts = Array.from(flat.viewsOf(numbered).values(), (view) => view.flatten().select(0, 0).item());
    expect(starts).toEqual([0, 16, 32, 48, 192, 208]);
    numbered.dispose();
  });

  scopedTest("collects gradients, which add up until zeroed", () => {
    const x = randn([2, 4, 5, 5]);
    const expected = plainGradients(x);
    for (const times of [1, 2]) {
      network.forward(x).square().sum().backward();
      for (const [name, view] of flat.viewsOf(flat.gradients)) {
        expectClose(view, expected.get(name)!.mul(times), { rtol: 1e-4, atol: 1e-4 });
      }
    }
    expect(flat.gradients.abs().sum().item()).toBeGreaterThan(1);
    flat.zeroGrad();
    expect(network.parameters().map(({ grad }) => grad!.abs().sum().item())).toEqual([0, 0, 0, 0, 0, 0]);
  });

  scopedTest("without training, frees the parameters from autograd", () => {
    const other = new Network();
    const storage = new FlatParameters(other, { trainable: false });
    const x = randn([2, 4, 5, 5]);
    network.loadStateDict(other.stateDict());
    const y = other.forward(x);
    expect(y.requiresGrad).toBe(false);
    expectClose(y, network.forward(x), { rtol: 1e-4, atol: 1e-5 });
    expect(storage.gradients.numel).toBe(0);
    other.dispose();
    storage.dispose();
  });

  scopedTest("collects gradients in channels_last too", () => {
    const x = randn([2, 4, 5, 5]).to({ memoryFormat: "channelsLast" });
    const expected = plainGradients(x);
    network.forward(x).square().sum().backward();
    const weights = flat.viewsOf(flat.gradients).get("block.conv.weight")!;
    expectClose(weights, expected.get("block.conv.weight")!, { rtol: 1e-4, atol: 1e-4 });
    expect(network.block.conv.weight.grad!.strides).toEqual([36, 1, 12, 4]);
  });
});

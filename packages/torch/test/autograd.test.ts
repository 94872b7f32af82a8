import {
  arange,
  conv2d,
  embedding,
  enableGrad,
  grad,
  groupNorm,
  Linear,
  linear,
  noGrad,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { checkGradients, elsewhere, expectClose, normal, scopedTest } from "./support.js";

const tight = { rtol: 1e-12, atol: 1e-12 };
const leaf = (numbers: number | number[]): Tensor => tensor(numbers, { dtype: "float64" }).requiresGrad_();

describe("gradients equal closed forms", () => {
  const points = [-1.2, 0.3, 0.8];
  const table: [name: string, f: (x: Tensor) => Tensor, derivative: (x: number) => number][] = [
    ["sin x^2", (x) => x.square().sin(), (x) => 2 * x * Math.cos(x * x)],
    [
      "exp(-x) / (1 + x^2)",
      (x) => x.neg().exp().div(x.square().add(1)),
      (x) => (-Math.exp(-x) * (1 + x) ** 2) / (1 + x * x) ** 2,
    ],
    ["x in two places", (x) => x.mul(x.detach()).add(x), (x) => x + 1],
    ["a clamp", (x) => x.clamp(-1, 0.5), (x) => (x > -1 && x < 0.5 ? 1 : 0)],
  ];
  for (const [name, f, derivative] of table) {
    scopedTest(name, () => {
      const x = leaf(points);
      f(x).sum().backward();
      expectClose(x.grad!, points.map(derivative), tight);
    });
  }

  scopedTest("broadcasting sums over what was spread", () => {
    const x = leaf([1, 2]);
    const y = normal([3, 2]);
    x.mul(y).sum().backward();
    expectClose(x.grad!, y.sum(0), tight);
  });

  scopedTest("an output gradient is contracted with", () => {
    const x = leaf([1, 2]);
    x.square().backward({ gradient: tensor([10, 100], { dtype: "float64" }) });
    expectClose(x.grad!, [20, 400], tight);
    expect(() => x.square().backward()).toThrow("grad can be implicitly created only for scalar outputs");
  });
});

describe("gradients equal central differences", () => {
  scopedTest("linear", () => checkGradients(linear, [normal([3, 4], 1), normal([2, 4], 2), normal([2], 3)]));

  scopedTest("convolution, strided and padded", () =>
    checkGradients(
      (x, w, b) => conv2d(x, w, b, 2, 1),
      [normal([1, 2, 4, 3], 4), normal([2, 2, 3, 3], 5), normal([2], 6)],
    ),
  );

  scopedTest("group normalisation", () =>
    checkGradients((x, w, b) => groupNorm(x, 2, w, b), [normal([2, 4, 3], 7), normal([4], 8), normal([4], 9)]),
  );

  scopedTest("embedding with a repeated row", () => {
    const indices = tensor([2, 0, 2], { dtype: "int64" });
    checkGradients((weight) => embedding(weight, indices).tanh(), [normal([4, 3], 10)]);
  });

  scopedTest("softmax and SiLU", () => {
    checkGradients((x) => x.softmax(1), [normal([2, 4], 11)]);
    checkGradients((x) => x.silu(), [normal([2, 4], 12)]);
  });

  scopedTest("attention", () =>
    checkGradients(
      (q, k, v) => q.bmm(k.transpose(1, 2)).div(Math.sqrt(3)).softmax(-1).bmm(v),
      [normal([2, 2, 3], 13), normal([2, 4, 3], 14), normal([2, 4, 2], 15)],
    ),
  );
});

describe("backward", () => {
  scopedTest("adds to grad, which starts as null and can be put back", () => {
    const x = leaf([1, 2]);
    expect(x.grad).toBeNull();
    for (const times of [1, 2]) {
      x.square().sum().backward();
      expectClose(x.grad!, [2 * times, 4 * times], tight);
    }
    x.grad = ones([2], { dtype: "float64" });
    x.sum().backward();
    expectClose(x.grad!, [2, 2], tight);
    x.grad = null;
    expect(x.grad).toBeNull();
    expect(() => {
      x.grad = ones([3], { dtype: "float64" });
    }).toThrow("a gradient must have its tensor's shape, dtype and device");
    expect(() => {
      x.grad = zeros([2], { dtype: "float64", device: elsewhere });
    }).toThrow("a gradient must have its tensor's shape, dtype and device");
  });

  scopedTest("frees its graph, unless told to keep it", () => {
    const x = leaf([3]);
    const y = x.square().sum();
    y.backward({ retainGraph: true });
    y.backward();
    expectClose(x.grad!, [12], tight);
    expect(() => y.backward()).toThrow("backward through the graph a second time");
  });

  scopedTest("reaches float32 parameters through a float64 input", () => {
    const layer = new Linear(2, 1);
    layer
      .forward(normal([3, 2]))
      .sum()
      .backward();
    expect(layer.weight.grad!.dtype).toBe("float32");
    expectClose(layer.weight.grad!, normal([3, 2]).sum(0, true).float());
    layer.dispose();
  });

  scopedTest("leaves and what is computed from them", () => {
    const x = leaf([1]);
    const y = x.mul(2);
    expect([x.isLeaf, y.isLeaf, y.requiresGrad, y.detach().requiresGrad]).toEqual([true, false, true, false]);
    expect(() => y.requiresGrad_(false)).toThrow("you can only change requires_grad flags of leaf variables");
    expect(() => x.add_(1)).toThrow("a leaf Variable that requires grad is being used in an in-place operation");
    expect(() => arange(2).requiresGrad_()).toThrow(/floating point/);
  });
});

describe("grad", () => {
  scopedTest("touches nobody's grad", () => {
    const [x, y] = [leaf([1, 2]), leaf([3, 4])];
    const [dx, dy] = grad([x.mul(y).sum(), x.sum()], [x, y]);
    expectClose(dx!, [4, 5], tight);
    expectClose(dy!, [1, 2], tight);
    expect([x.grad, y.grad]).toEqual([null, null]);
  });

  scopedTest("contracts with output gradients, and reaches inner tensors", () => {
    const x = leaf([1, 2]);
    const inner = x.square();
    const [direct] = grad([inner.exp()], [inner], { gradOutputs: [tensor([1, 0], { dtype: "float64" })] });
    expectClose(direct!, [Math.E, 0], tight);
  });

  scopedTest("complains about an input that took no part", () => {
    const [x, unused] = [leaf([1]), leaf([1])];
    expect(() => grad([x.sum()], [x, unused])).toThrow("appears to not have been used in the graph");
  });

  scopedTest("of higher order, with a recorded backward pass", () => {
    const x = leaf([2, -1]);
    const derivative = (y: Tensor): Tensor => grad([y.sum()], [x], { createGraph: true })[0]!;
    const first = derivative(x.pow(4));
    const second = derivative(first);
    const third = derivative(second);
    expectClose(first, [32, -4], tight);
    expectClose(second, [48, 12], tight);
    expectClose(third, [48, -24], tight);
    expect(() => grad([grad([x.pow(4).sum()], [x])[0]!], [x])).toThrow("does not require grad");
  });

  scopedTest("through a gradient norm, against central differences", () => {
    const penalty = (x: Tensor): Tensor => {
      const input = x.requiresGrad ? x : x.detach().requiresGrad_();
      return grad([input.mul(input.sin()).softmax(0).square().sum()], [input], { createGraph: true })[0]!
        .square()
        .sum();
    };
    checkGradients(penalty, [normal([5], 16)]);
  });
});

describe("recording", () => {
  scopedTest("noGrad and enableGrad nest, and are restored", () => {
    const x = leaf([1]);
    const records = (): boolean => x.mul(2).requiresGrad;
    expect(noGrad(() => [records(), enableGrad(() => [records(), noGrad(records), records()]), records()])).toEqual([
      false,
      [true, false, true],
      false,
    ]);
    expect(records()).toBe(true);
  });

  test("a throw restores the mode too", () => {
    using x = leaf([1]);
    const fail = (): never => {
      throw new RangeError("inside");
    };
    expect(() => noGrad(() => enableGrad(fail))).toThrow(RangeError);
    using y = x.mul(2);
    expect(y.requiresGrad).toBe(true);
    expect(() => enableGrad(() => noGrad(fail))).toThrow(RangeError);
    using z = x.mul(2);
    expect(z.requiresGrad).toBe(true);
  });
});

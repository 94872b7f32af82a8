import {
  arange,
  broadcastTensors,
  callOperator,
  cat,
  meshgrid,
  ones,
  scope,
  searchsorted,
  stack,
  Tensor,
  TorchError,
  tensor,
  where,
  zeros,
} from "@stf/torch";
import { describe, expect, test } from "vitest";
import { expectClose, scopedTest } from "./support.js";

const double = (numbers: number[], shape = [numbers.length]): Tensor => tensor(numbers, { dtype: "float64", shape });
const long = (numbers: number[], shape = [numbers.length]): Tensor => tensor(numbers, { dtype: "int64", shape });
const exact = { rtol: 0, atol: 0 };
const precise = { rtol: 1e-14, atol: 1e-15 };

describe("functions of one number", () => {
  const positive = [0.1, 0.5, 0.9];
  const signed = [-2.5, -0.5, 0, 0.5, 1.5, 2.5];
  const table: [name: string, points: number[], f: (x: number) => number][] = [
    ["neg", signed, (x) => -x],
    ["abs", signed, Math.abs],
    ["sign", signed, Math.sign],
    ["square", signed, (x) => x * x],
    ["sqrt", positive, Math.sqrt],
    ["rsqrt", positive, (x) => 1 / Math.sqrt(x)],
    ["reciprocal", positive, (x) => 1 / x],
    ["exp", signed, Math.exp],
    ["expm1", signed, Math.expm1],
    ["log", positive, Math.log],
    ["log1p", positive, Math.log1p],
    ["log2", positive, Math.log2],
    ["log10", positive, Math.log10],
    ["sin", signed, Math.sin],
    ["cos", signed, Math.cos],
    ["tan", signed, Math.tan],
    ["asin", positive, Math.asin],
    ["acos", positive, Math.acos],
    ["atan", signed, Math.atan],
    ["sinh", signed, Math.sinh],
    ["cosh", signed, Math.cosh],
    ["tanh", signed, Math.tanh],
    ["floor", signed, Math.floor],
    ["ceil", signed, Math.ceil],
    ["trunc", signed, Math.trunc],
    ["frac", signed, (x) => x - Math.trunc(x)],
    // Halves go to the even neighbour, unlike Math.round's.
    ["round", signed, (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x))],
  ];
  for (const [name, points, f] of table) {
    scopedTest(`${name}, also in place`, () => {
      const method = (tensor: Tensor, called: string): Tensor =>
        (tensor as unknown as Record<string, () => Tensor>)[called]!();
      const x = double(points);
      expectClose(method(x, name), points.map(f), precise);
      expectClose(x, points, exact);
      expect(method(x, `${name}_`)).toBe(x);
      expectClose(x, points.map(f), precise);
    });
  }

  scopedTest("error and gamma functions", () => {
    const x = double([0.25, 0.5, 2]);
    expectClose(x.erf(), [0.2763263901682369, 0.5204998778130465, 0.9953222650189527], precise);
    expectClose(x.erf().add(x.erfc()), [1, 1, 1], precise);
    expectClose(x.erf().erfinv(), x, { rtol: 1e-12 });
    expectClose(double([1, 2, 5, 0.5]).lgamma(), [0, 0, Math.log(24), Math.log(Math.PI) / 2], precise);
    expectClose(double([1]).digamma(), -0.5772156649015329, precise);
    expectClose(x.add(1).digamma(), x.digamma().add(x.reciprocal()), precise);
  });
});

describe("arithmetic", () => {
  scopedTest("a number and a tensor choose the overload", () => {
    const x = double([1, -2, 4]);
    const y = double([2, 2, -8]);
    expectClose(x.add(y), [3, 0, -4], exact);
    expectClose(x.add(0.5), [1.5, -1.5, 4.5], exact);
    expectClose(x.add(y, { alpha: 0.5 }), [2, -1, 0], exact);
    expectClose(x.sub(1, { alpha: 2 }), [-1, -4, 2], exact);
    expectClose(x.rsub(1), [0, 3, -3], exact);
    expectClose(x.mul(y), [2, -4, -32], exact);
    expectClose(x.div(y), [0.5, -1, -0.5], exact);
    expectClose(x.pow(2), [1, 4, 16], exact);
    expectClose(x.abs().pow(double([2, 3, 0.5])), [1, 8, 2], precise);
    expectClose(x.lerp(y, 0.25), [1.25, -1, 1], exact);
    expectClose(x.lerp(y, double([0, 1, 0.5])), [1, 2, -2], exact);
    expect(x.le(1).toArray()).toEqual([1, 1, 0]);
    expect(x.gt(y).toArray()).toEqual([0, 0, 1]);
    expectClose(x.maskedFill(x.lt(0), 9), [1, 9, 4], exact);
    expectClose(x.maskedFill(x.lt(0), double([7]).sum()), [1, 7, 4], exact);
    expect(long([6, 5]).bitwiseAnd(3).toArray()).toEqual([2, 1]);
    expect(
      long([6, 5])
        .bitwiseOr(long([1, 8]))
        .toArray(),
    ).toEqual([7, 13]);
  });

  scopedTest("whole numbers keep an integer tensor, fractions do not", () => {
    const x = long([1, 2]);
    expect(x.add(1).dtype).toBe("int64");
    expect(x.add(0.5).dtype).toBe("float32");
    expect(x.add(true).toArray()).toEqual([2, 3]);
    expect(x.mul(2n ** 53n + 1n).toTypedArray()).toEqual(new BigInt64Array([2n ** 53n + 1n, 2n ** 54n + 2n]));
    expect(Object.is(double([1]).mul(-0).item(), -0)).toBe(true);
  });

  scopedTest("in-place forms return the tensor itself", () => {
    const x = double([1, 2]);
    expect(
      x
        .add_(1)
        .mul_(double([2, 3]))
        .sub_(1)
        .div_(double([3, 4]))
        .pow(1),
    ).not.toBe(x);
    expectClose(x, [1, 2], exact);
    expect(x.fill_(3)).toBe(x);
    expect(x.copy_(long([4, 5]))).toBe(x);
    expect(x.addcmul_(double([1, 2]), double([3, 4]), { value: 2 })).toBe(x);
    expectClose(x, [10, 21], exact);
    expect(x.zero_()).toBe(x);
    expectClose(x, [0, 0], exact);
  });

  scopedTest("functions of two numbers", () => {
    const x = double([5, -5, 3]);
    const y = double([3, 3, -2]);
    expectClose(x.remainder(y), [2, 1, -1], exact);
    expectClose(x.fmod(y), [2, -2, 1], exact);
    expectClose(x.floorDivide(y), [1, -2, -2], exact);
    expectClose(x.maximum(y), [5, 3, 3], exact);
    expectClose(x.minimum(y), [3, -5, -2], exact);
    expectClose(x.atan2(y), [Math.atan2(5, 3), Math.atan2(-5, 3), Math.atan2(3, -2)], precise);
    expectClose(x.hypot(y), [Math.hypot(5, 3), Math.hypot(5, 3), Math.hypot(3, 2)], precise);
    expectClose(double([1000, 0]).logaddexp(double([1000, 0])), [1000 + Math.LN2, Math.LN2], precise);
    expectClose(x.addcdiv(y, double([2, 4, 8]), { value: -2 }), [2, -6.5, 3.5], exact);
    expectClose(where(x.gt(y), x, y), [5, 3, 3], exact);
  });

  scopedTest("bounds and special values", () => {
    const x = double([-3, 0.5, 3]);
    expectClose(x.clamp(-1, 1), [-1, 0.5, 1], exact);
    expectClose(x.clamp(null, 1), [-3, 0.5, 1], exact);
    expectClose(x.clamp(0), [0, 0.5, 3], exact);
    expectClose(x.clampMin(0).clampMax(2), [0, 0.5, 2], exact);
    const odd = double([Number.NaN, Number.POSITIVE_INFINITY, 1]);
    expect(odd.isnan().toArray()).toEqual([1, 0, 0]);
    expect(odd.isinf().toArray()).toEqual([0, 1, 0]);
    expect(odd.isfinite().logicalNot().toArray()).toEqual([1, 1, 0]);
    expectClose(odd.nanToNum(7, 8), [7, 8, 1], exact);
    expect(odd.equal(odd)).toBe(false);
    expect(x.equal(x.clone())).toBe(true);
    expect([x.allclose(x.add(1e-9)), x.allclose(x.add(1e-3))]).toEqual([true, false]);
  });
});

describe("reductions", () => {
  const matrix = (): Tensor => double([1, 5, 3, 4, 2, 6], [2, 3]);

  scopedTest("sums, products and moments", () => {
    const x = matrix();
    expectClose(x.sum(), 21, exact);
    expectClose(x.sum(0), [5, 7, 9], exact);
    expect(x.sum([0, 1], true).shape).toEqual([1, 1]);
    expectClose(x.mean(-1), [3, 4], exact);
    expect(long([1, 2]).mean(null, false, { dtype: "float64" }).item()).toBe(1.5);
    expectClose(x.prodAlong(1), [15, 48], exact);
    expectClose(x.prod(), 720, exact);
    expectClose(x.var(1), [4, 4], precise);
    expectClose(x.std(1, { correction: 0 }), [Math.sqrt(8 / 3), Math.sqrt(8 / 3)], precise);
    const [variance, mean] = x.varMean([0, 1]);
    expectClose(stack([variance, mean]), [3.5, 3.5], precise);
    expectClose(x.norm(2, [0, 1]), Math.sqrt(91), precise);
    expectClose(x.linalgVectorNorm(1), 21, exact);
    expectClose(x.dist(zeros([2, 3])), Math.sqrt(91), precise);
    expectClose(double([1000, 1000]).logsumexp(0), 1000 + Math.LN2, precise);
    expectClose(x.cumsum(1), [1, 6, 9, 4, 6, 12], exact);
    expectClose(x.cumprod(0), [1, 5, 3, 4, 10, 18], exact);
    expectClose(x.trace(), 3, exact);
  });

  scopedTest("extremes and order", () => {
    const x = matrix();
    expectClose(stack([x.max(), x.min(), x.median()]), [6, 1, 3], exact);
    expectClose(x.amax([0, 1]), 6, exact);
    const [values, indices] = x.maxAlong(0);
    expectClose(cat([values, indices]), [4, 5, 6, 1, 0, 1], exact);
    expect([x.argmax().item(), x.argmin(1).toArray()]).toEqual([5, [0, 1]]);
    expectClose(x.quantile(0.5), 3.5, precise);
    expectClose(x.quantile(double([0, 0.25]), 1), [1, 2, 2, 3], precise);
    const [sorted, order] = x.sort(1, true);
    expectClose(cat([sorted, order]), [5, 3, 1, 6, 4, 2, 1, 2, 0, 2, 0, 1], exact);
    expect(x.argsort().flatten().toArray()).toEqual([0, 2, 1, 1, 0, 2]);
    const [largest, places] = x.topk(2);
    expectClose(cat([largest, places]), [5, 3, 6, 4, 1, 2, 2, 0], exact);
    const [distinct, inverse, counts] = long([3, 1, 3]).unique(true, true, true);
    expectClose(cat([distinct, inverse, counts]), [1, 3, 1, 0, 1, 1, 2], exact);
  });

  scopedTest("counts", () => {
    const x = double([0, 0.5, 1.5, 1.5]);
    expect(x.countNonzero().item()).toBe(3);
    expect(x.nonzero().flatten().toArray()).toEqual([1, 2, 3]);
    expectClose(x.histc(2, 0, 2), [2, 2], exact);
    expectClose(long([0, 2, 2]).bincount(double([1, 2, 3]), 4), [1, 0, 5, 0], exact);
    expect([x.gt(1).any().item(), x.gt(1).all().item()]).toEqual([1, 0]);
    expect(x.view([2, 2]).gt(1).anyAlong(1).toArray()).toEqual([0, 1]);
  });
});

describe("shapes", () => {
  scopedTest("views look at the same storage", () => {
    const x = arange(0, 6, 1, { dtype: "float64" });
    const view = x.view([2, 3]).t().select(0, 1);
    view.fill_(-1);
    expectClose(x, [0, -1, 2, 3, -1, 5], exact);
    expectClose(x.asStrided([2, 2], [3, 1], 1), [-1, 2, -1, 5], exact);
    expect(x.reshape([3, -1]).unsqueeze(0).squeeze(0).flatten().unflatten(0, [2, 3]).shape).toEqual([2, 3]);
    expect(zeros([2, 1]).expand([2, 4]).strides).toEqual([1, 0]);
    expect(zeros([2, 3, 4]).permute([2, 0, 1]).transpose(0, 2).shape).toEqual([3, 2, 4]);
  });

  scopedTest("slicing, joining, repeating", () => {
    const x = arange(0, 6, 1, { dtype: "float64" }).view([2, 3]);
    expectClose(x.slice(1, 0, 3, 2), [0, 2, 3, 5], exact);
    expectClose(x.slice(0, -1), [3, 4, 5], exact);
    expectClose(x.narrow(1, 1, 2), [1, 2, 4, 5], exact);
    expect(
      arange(5)
        .split(2)
        .map((part) => part.numel),
    ).toEqual([2, 2, 1]);
    expect(
      arange(5)
        .splitWithSizes([4, 1])
        .map((part) => part.numel),
    ).toEqual([4, 1]);
    expect(
      arange(5)
        .chunk(2)
        .map((part) => part.numel),
    ).toEqual([3, 2]);
    expectClose(x.unbind(1)[2]!, [2, 5], exact);
    expectClose(cat([x, x.neg()], 1), [0, 1, 2, 0, -1, -2, 3, 4, 5, -3, -4, -5], exact);
    expectClose(stack(x.unbind(), 1), [0, 3, 1, 4, 2, 5], exact);
    expectClose(x.flip([0]).roll(1, 1), [5, 3, 4, 2, 0, 1], exact);
    expectClose(arange(2).repeat([2]), [0, 1, 0, 1], exact);
    expectClose(arange(2).repeatInterleave(2), [0, 0, 1, 1], exact);
    expectClose(arange(4).unfold(0, 2, 1), [0, 1, 1, 2, 2, 3], exact);
    expectClose(
      ones([3, 3])
        .tril(-1)
        .sub(ones([3, 3]).triu(1)),
      [0, -1, -1, 1, 0, -1, 1, 1, 0],
      exact,
    );
    expectClose(double([1, 2]).diagEmbed().diagonal(), [1, 2], exact);
    const [rows, columns] = meshgrid([arange(2), arange(3)], { indexing: "ij" });
    expectClose(rows!.mul(10).add(columns!), [0, 1, 2, 10, 11, 12], exact);
    expect(broadcastTensors([zeros([2, 1]), zeros([3])]).map(({ shape }) => shape.join())).toEqual(["2,3", "2,3"]);
  });
});

describe("indexing", () => {
  scopedTest("reading", () => {
    const x = arange(0, 6, 1, { dtype: "float64" }).view([2, 3]);
    expectClose(x.index([long([1, 0]), long([2, 0])]), [5, 0], exact);
    expectClose(x.index([null, long([2, 0])]), [2, 0, 5, 3], exact);
    expectClose(x.index([x.gt(3)]), [4, 5], exact);
    expectClose(x.maskedSelect(x.gt(3)), [4, 5], exact);
    expectClose(x.indexSelect(1, long([2, 2])), [2, 2, 5, 5], exact);
    expectClose(x.gather(1, long([2, 0], [2, 1])), [2, 3], exact);
    expectClose(x.take(long([5, 1])), [5, 1], exact);
    expect(long([0, 2]).oneHot(3).flatten().toArray()).toEqual([1, 0, 0, 0, 0, 1]);
    expect(searchsorted(double([1, 3, 5]), double([0, 3, 6])).toArray()).toEqual([0, 1, 3]);
    expect(searchsorted(double([1, 3, 5]), double([3]), { right: true }).item()).toBe(2);
  });

  scopedTest("writing", () => {
    const x = (): Tensor => zeros([2, 2], { dtype: "float64" });
    expectClose(x().indexPut_([long([0, 0]), long([1, 1])], double([2, 3]), true), [0, 5, 0, 0], exact);
    expectClose(x().scatter(1, long([1, 0], [2, 1]), 7), [0, 7, 7, 0], exact);
    expectClose(x().scatter(1, long([1, 0], [2, 1]), double([1, 2], [2, 1])), [0, 1, 2, 0], exact);
    expectClose(x().scatterAdd(0, long([1, 1, 1, 0], [2, 2]), double([1, 2, 3, 4], [2, 2])), [0, 4, 4, 2], exact);
    expectClose(x().indexAdd(0, long([1, 1]), ones([2, 2], { dtype: "float64" }), { alpha: 3 }), [0, 0, 6, 6], exact);
    expectClose(
      x().maskedScatter(tensor([1, 0, 0, 1], { dtype: "bool", shape: [2, 2] }), double([8, 9])),
      [8, 0, 0, 9],
      exact,
    );
  });
});

describe("any operator by name", () => {
  scopedTest("tensors, numbers, lists and defaults", () => {
    const x = double([1, 2, 3, 4], [2, 2]);
    expectClose(callOperator("aten::logcumsumexp", double([0, 0]), 0) as Tensor, [0, Math.LN2], precise);
    expectClose(callOperator("aten::cat", [x, x], 1) as Tensor, [1, 2, 1, 2, 3, 4, 3, 4], exact);
    expect(callOperator("aten::equal", x, x)).toBe(true);
    expect(callOperator("aten::size.int", x, 0)).toBe(2);
    const parts = callOperator("aten::unbind.int", x) as Tensor[];
    expect(parts.every((part) => part instanceof Tensor)).toBe(true);
    expect(callOperator("aten::mul_.Scalar", x, 2)).toBeUndefined();
    expectClose(x, [2, 4, 6, 8], exact);
  });

  // The addon knows tensors by number, so these would otherwise compute with some unrelated tensor.
  scopedTest("a tensor is never mistaken for a number", () => {
    const x = ones([2]);
    expect(() => callOperator("aten::add.Scalar", x, x)).toThrow(
      "aten::add.Scalar: argument 'other': expected no tensor",
    );
    expect(() => callOperator("aten::neg", 1)).toThrow("aten::neg: argument 'self': expected a tensor, found 1");
    expect(() => callOperator("aten::cat", [x, 0])).toThrow("argument 'tensors': expected a tensor, found 0");
    expect(() => callOperator("aten::max_pool2d", ones([1, 1, 2, 2]), 2, [1, 1], x)).toThrow("argument 'padding'");
  });

  test("an operator that does not exist", () => {
    expect(() => callOperator("aten::no_such", 1)).toThrow(TorchError);
    expect(() => scope(() => callOperator("aten::add.NoSuch", ones([1])))).toThrow("has no such operator");
  });
});

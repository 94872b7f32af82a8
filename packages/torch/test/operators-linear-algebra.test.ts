import {
  cdist,
  einsum,
  eye,
  foreachAdd,
  foreachAddcdiv_,
  foreachAddScalar_,
  foreachMul_,
  foreachMulList,
  foreachNorm,
  foreachSqrt,
  foreachZero_,
  linalgDet,
  linalgInv,
  linalgQr,
  linalgSlogdet,
  linalgSolve,
  linalgSvd,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { expectClose, normal, scopedTest } from "./support.js";

const tight = { rtol: 1e-12, atol: 1e-12 };

const identity = (n: number): Tensor => eye(n, { dtype: "float64" });
const symmetric = (n: number): Tensor => {
  const a = normal([n, n], 1);
  return a.add(a.t());
};
const positiveDefinite = (n: number): Tensor => {
  const a = normal([n, n], 2);
  return a.mm(a.t()).add(identity(n));
};

describe("products", () => {
  scopedTest("matrix products are sums of products", () => {
    const a = normal([2, 3], 3);
    const b = normal([3, 4], 4);
    const [x, y] = [a.toFloat64Array(), b.toFloat64Array()];
    const expected = Array.from({ length: 8 }, (_, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      return [0, 1, 2].reduce((sum, k) => sum + x[3 * row + k]! * y[4 * k + column]!, 0);
    });
    const product = a.mm(b);
    expectClose(product, expected, tight);
    expectClose(a.matmul(b), product, tight);
    expectClose(a.unsqueeze(0).bmm(b.unsqueeze(0)).squeeze(0), product, tight);
    expectClose(einsum("ij,jk->ik", [a, b]), product, tight);
    expectClose(a.mv(b.select(1, 0)), product.select(1, 0), tight);
    expectClose(a.select(0, 0).dot(b.select(1, 0)), expected[0]!, tight);
    const start = normal([2, 4], 5);
    expectClose(start.addmm(a, b, { beta: 2, alpha: -1 }), start.mul(2).sub(product), tight);
    const batch = start.unsqueeze(0);
    expectClose(batch.baddbmm(a.unsqueeze(0), b.unsqueeze(0)), batch.add(product), tight);
  });

  scopedTest("vectors", () => {
    const x = tensor([1, 2, 3]);
    const y = tensor([4, 5, 6]);
    expectClose(x.outer(y), [4, 5, 6, 8, 10, 12, 12, 15, 18], tight);
    expectClose(x.cross(y, 0), [-3, 6, -3], tight);
    expectClose(einsum("i,i->", [x, y]), 32, tight);
    const points = tensor([0, 0, 3, 4], { shape: [2, 2] });
    expectClose(cdist(points, tensor([[0, 1]])), [1, Math.sqrt(18)], { rtol: 1e-6 });
  });
});

describe("decompositions multiply back", () => {
  scopedTest("eigenvalues", () => {
    const a = symmetric(5);
    const [values, vectors] = a.linalgEigh();
    expectClose(vectors.mul(values).mm(vectors.t()), a, tight);
    expectClose(vectors.t().mm(vectors), identity(5), tight);
    expect(
      values
        .slice(0, 1)
        .ge(values.slice(0, 0, 4))
        .all()
        .item(),
    ).toBe(1);
    expectClose(a.linalgEigvalsh(), values, tight);
    expectClose(values.sum(), a.trace(), tight);
  });

  scopedTest("QR, SVD and Cholesky", () => {
    const a = normal([4, 3], 6);
    const [q, r] = linalgQr(a);
    expectClose(q.mm(r), a, tight);
    expectClose(q.t().mm(q), identity(3), tight);
    expectClose(r, r.triu(), { rtol: 0, atol: 0 });
    const [u, s, vh] = linalgSvd(a, false);
    expectClose(u.mul(s).mm(vh), a, tight);
    expectClose(s.square().sum(), a.square().sum(), tight);
    const p = positiveDefinite(4);
    const lower = p.linalgCholesky();
    expectClose(lower.mm(lower.t()), p, tight);
    expectClose(lower, lower.tril(), { rtol: 0, atol: 0 });
  });

  scopedTest("solutions, inverses, determinants", () => {
    const a = positiveDefinite(4);
    const b = normal([4, 2], 7);
    expectClose(a.mm(linalgSolve(a, b)), b, tight);
    expectClose(a.mm(linalgInv(a)), identity(4), tight);
    const [sign, logarithm] = linalgSlogdet(a);
    expectClose(linalgDet(a).log(), logarithm, tight);
    expect(sign.item()).toBe(1);
    expectClose(a.linalgEigvalsh().prod(), linalgDet(a), tight);
    expectClose(linalgDet(tensor([1, 2, 3, 4], { shape: [2, 2] })), -2, { rtol: 1e-6 });
    expectClose(a.linalgNorm(), a.square().sum().sqrt(), tight);
  });

  scopedTest("the exponential of a rotation's generator is the rotation", () => {
    const angle = 0.7;
    const generator = tensor([0, -angle, angle, 0], { shape: [2, 2], dtype: "float64" });
    const [c, s] = [Math.cos(angle), Math.sin(angle)];
    expectClose(generator.linalgMatrixExp(), [c, -s, s, c], tight);
  });
});

describe("Fourier transforms", () => {
  const n = 6;
  /** Real and imaginary parts of sum_j x_j exp(-2 pi i j k / n), alternating. */
  const discreteFourier = (x: Float64Array): number[] =>
    Array.from({ length: n }, (_, k) => {
      const sum = (part: (angle: number) => number) =>
        x.reduce((total, value, j) => total + value * part((-2 * Math.PI * j * k) / n), 0);
      return [sum(Math.cos), sum(Math.sin)];
    }).flat();

  scopedTest("equal their definition", () => {
    const x = normal([n], 8);
    const spectrum = x.fftFft();
    expect(spectrum.dtype).toBe("complex128");
    expectClose(spectrum.viewAsReal(), discreteFourier(x.toFloat64Array()), tight);
    expectClose(x.fftRfft().viewAsReal(), spectrum.slice(0, 0, n / 2 + 1).viewAsReal(), tight);
  });

  scopedTest("are undone by their inverses", () => {
    const x = normal([4, n], 9);
    expectClose(x.fftFft().fftIfft().real(), x, tight);
    expectClose(x.fftRfft().fftIrfft(n), x, tight);
    expectClose(x.fftRfft2().fftIrfft2([4, n]), x, tight);
    expectClose(x.fftFftn().fftIfftn().imag(), zeros([4, n]), tight);
    expectClose(x.fftFftshift().fftIfftshift(), x, { rtol: 0, atol: 0 });
    expectClose(tensor([0, 1, 2, 3]).fftFftshift(), [2, 3, 0, 1], tight);
  });

  scopedTest("keep energy, and separate into axes", () => {
    const x = normal([4, n], 10);
    const spectrum = x.fftFft2();
    expectClose(
      spectrum
        .abs()
        .square()
        .sum()
        .div(4 * n),
      x.square().sum(),
      tight,
    );
    expectClose(x.fftFft2(null, [-2, -1], "ortho").abs().square().sum(), x.square().sum(), tight);
    expectClose(x.fftFft(null, 1).fftFft(null, 0).viewAsReal(), spectrum.viewAsReal(), tight);
  });
});

describe("lists of tensors at once", () => {
  scopedTest("equal the same on each", () => {
    const xs = [tensor([1, 4]), tensor([[9]])];
    const numbers = (tensors: Tensor[]): number[] => tensors.flatMap((x) => Array.from(x.toFloat64Array()));
    expect(numbers(foreachAdd(xs, xs, { alpha: 2 }))).toEqual([3, 12, 27]);
    expect(numbers(foreachMulList(xs, xs))).toEqual([1, 16, 81]);
    expect(numbers(foreachSqrt(xs))).toEqual([1, 2, 3]);
    expect(numbers(foreachNorm(xs, 1))).toEqual([5, 9]);
    foreachAddScalar_(xs, 1);
    foreachMul_(xs, 2);
    expect(numbers(xs)).toEqual([4, 10, 20]);
    foreachAddcdiv_(xs, [ones([2]), ones([1, 1])], [tensor([2, 4]), tensor([[8]])], 8);
    expect(numbers(xs)).toEqual([8, 12, 21]);
    foreachZero_(xs);
    expect(numbers(xs)).toEqual([0, 0, 0]);
    expect(() => foreachAdd(xs, [ones([2])])).toThrow("aten::_foreach_add.List");
  });
});

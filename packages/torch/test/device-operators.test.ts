/** Operators on the device that STF_TEST_DEVICE names, the CPU by default, against the CPU in float64. */

import {
  cat,
  cdist,
  conv2d,
  convTranspose2d,
  type Device,
  type DType,
  einsum,
  embedding,
  gridSampler,
  groupNorm,
  layerNorm,
  linalgSlogdet,
  linalgSolve,
  linear,
  searchsorted,
  stack,
  type Tensor,
  tensor,
  where,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { device, expectClose, normal, scopedTest, type Tolerance } from "./support.js";

interface Place {
  readonly dtype: DType;
  readonly device: Device;
}

const exact: Place = { dtype: "float64", device: "cpu" };

/** Sums of a hundred products of factors that were rounded to TF32 would be off by about 1e-2. */
const precisions: readonly [DType, Tolerance][] = [
  ["float32", { rtol: 3e-5, atol: 3e-5 }],
  ["float64", { rtol: 1e-11, atol: 1e-11 }],
];
const double = precisions.slice(1);

/** What operators are tried on: the same numbers everywhere, but for rounding. */
function operands(place: Place) {
  const at = (shape: readonly number[], seed: number): Tensor => normal(shape, seed).to(place);
  const whole = (values: readonly number[], shape = [values.length]): Tensor =>
    tensor(Int32Array.from(values), { shape, dtype: "int64", device: place.device });
  const square = at([2, 5, 5], 5);
  return {
    x: at([3, 4, 6], 1),
    y: at([3, 4, 6], 2),
    row: at([6], 3),
    column: at([4, 1], 4),
    square,
    symmetric: square.add(square.transpose(1, 2)),
    positive: square.bmm(square.transpose(1, 2)).add(square.mul(0).add(0.5)),
    images: at([2, 4, 8, 8], 6),
    kernel: at([6, 4, 3, 3], 7),
    grouped: at([4, 1, 4, 4], 8),
    grid: at([2, 5, 5, 2], 9).mul(0.6),
    bias: at([6], 10),
    three: whole([2, 0, 3]),
    places: whole([5, 0, 2, 2, 1, 4, 3, 3, 0, 5, 4, 1], [3, 4, 1]),
  };
}

type Operands = ReturnType<typeof operands>;
type Operator = (operands: Operands) => Tensor | Tensor[];

const elementwise: Record<string, Operator> = {
  add: ({ x, y }) => x.add(y, { alpha: 0.3 }),
  sub: ({ x }) => x.sub(2),
  mul: ({ x, y }) => x.mul(y),
  div: ({ x, y }) => x.div(y.abs().add(0.5)),
  pow: ({ x, y }) => x.abs().add(0.1).pow(y),
  square: ({ x }) => x.square(),
  exp: ({ x }) => x.exp(),
  expm1: ({ x }) => x.expm1(),
  log: ({ x }) => x.abs().add(0.1).log(),
  log1p: ({ x }) => x.abs().log1p(),
  sqrt: ({ x }) => x.abs().sqrt(),
  rsqrt: ({ x }) => x.abs().add(0.1).rsqrt(),
  reciprocal: ({ x }) => x.abs().add(0.1).reciprocal(),
  "sin, cos": ({ x }) => [x.sin(), x.mul(30).cos()],
  atan2: ({ x, y }) => x.atan2(y),
  tanh: ({ x }) => x.tanh(),
  "erf, erfinv": ({ x }) => [x.erf(), x.tanh().mul(0.9).erfinv()],
  lgamma: ({ x }) => x.abs().add(0.5).lgamma(),
  sigmoid: ({ x }) => x.sigmoid(),
  silu: ({ x }) => x.silu(),
  gelu: ({ x }) => x.gelu(),
  softplus: ({ x }) => x.softplus(),
  clamp: ({ x }) => x.clamp(-0.5, 0.7),
  "maximum, minimum": ({ x, y }) => [x.maximum(y), x.minimum(y)],
  "floor, ceil, round, trunc": ({ x }) => [x.floor(), x.ceil(), x.round(), x.trunc()],
  remainder: ({ x }) => x.remainder(0.7),
  sign: ({ x }) => x.sign(),
  lerp: ({ x, y }) => x.lerp(y, 0.2),
  "addcmul, addcdiv": ({ x, y }) => [x.addcmul(x, y, { value: 2 }), x.addcdiv(x, y.abs().add(1), { value: -2 })],
  logaddexp: ({ x, y }) => x.mul(300).logaddexp(y.mul(300)),
  nanToNum: ({ x }) => x.sqrt().nanToNum(-7),
  "eq, ne, lt, le, gt, ge": ({ x, y }) => [x.eq(x), x.ne(y), x.lt(y), x.le(y), x.gt(0), x.ge(0)],
  "isfinite, isnan": ({ x }) => [x.sqrt().isfinite(), x.sqrt().isnan()],
  "logicalAnd, logicalNot": ({ x, y }) => [x.gt(0).logicalAnd(y.gt(0)), x.gt(0).logicalNot()],
  where: ({ x, y }) => where(x.gt(y), x, y),
  maskedFill: ({ x }) => x.maskedFill(x.gt(0), -3),
  "by a row and a column": ({ x, row, column }) => x.mul(row).add(column),
  "in place": ({ x, y }) => x.clone().lerp_(y, 0.3).addcmul_(x, y, { value: 0.5 }).addcdiv_(y, x.abs().add(1)),
  "copy_ of another dtype": ({ x, y }) => x.clone().copy_(y.float()),
  "fill_, zero_, clamp_": ({ x }) => [x.clone().fill_(2), x.clone().zero_(), x.clone().clamp_(0)],
};

const reductions: Record<string, Operator> = {
  "sum, mean": ({ x }) => [x.sum(), x.sum([0, 2], true), x.mean([1])],
  prodAlong: ({ x }) => x.prodAlong(2),
  "amax, amin": ({ x }) => [x.amax([1, 2]), x.amin([0])],
  "maxAlong, minAlong": ({ x }) => [...x.maxAlong(2), ...x.minAlong(1)],
  "argmax, argmin": ({ x }) => [x.argmax(), x.argmin(1)],
  "var, std": ({ x }) => [x.var([2]), x.std([0, 1], { correction: 0 })],
  linalgVectorNorm: ({ x }) => [x.linalgVectorNorm(), x.linalgVectorNorm(1, [2])],
  logsumexp: ({ x }) => [x.logsumexp([2]), x.mul(400).logsumexp([0], true)],
  "softmax, logSoftmax": ({ x }) => [x.mul(50).softmax(1), x.logSoftmax(2)],
  "any, all": ({ x }) => [x.gt(0).any(), x.gt(-9).all(), x.gt(0).anyAlong(2)],
  countNonzero: ({ x }) => x.gt(0.3).countNonzero(),
  "cumsum, cumprod": ({ x }) => [x.cumsum(2), x.cumprod(1)],
  "sort, topk": ({ x }) => [...x.sort(2, true), ...x.topk(2, 1)],
  quantile: ({ x }) => x.quantile(0.3, 2),
  histc: ({ x }) => x.histc(8, -3, 3),
  mseLoss: ({ x, y }) => x.mseLoss(y),
};

const shapes: Record<string, Operator> = {
  indexSelect: ({ x, three }) => x.indexSelect(1, three),
  "index by lists": ({ x, three }) => x.index([null, three, three]),
  "gather, takeAlongDim": ({ x, places }) => [x.gather(2, places), x.takeAlongDim(places, 2)],
  "indexCopy_, indexAdd_": ({ x, y, three }) => {
    const source = y.narrow(1, 0, 3);
    return [x.clone().indexCopy_(1, three, source), x.clone().indexAdd_(1, three, source)];
  },
  "scatter, scatterAdd": ({ x, y, places }) => [x.scatter(2, places, 9), x.scatterAdd(2, places, y)],
  maskedSelect: ({ x }) => x.maskedSelect(x.gt(0)),
  nonzero: ({ x }) => x.gt(0).nonzero(),
  "narrow, slice, select": ({ x }) => [x.narrow(2, 1, 4), x.slice(2, 1, null, 2), x.select(1, -1)],
  "chunk, unbind": ({ x }) => [...x.chunk(2, 2), ...x.unbind(0)],
  "cat, stack": ({ x, y }) => [cat([x, y.narrow(2, 0, 2)], 2), stack([x, y], 1)],
  "flip, roll": ({ x }) => [x.flip([0, 2]), x.roll(2, 1)],
  "repeat, expand": ({ x, column }) => [x.repeat([2, 1, 3]), column.expand([3, 4, 5])],
  "pad, reflected pad": ({ images }) => [images.pad([1, 2, 0, 3]), images.pad([2, 1, 3, 0], "reflect")],
  "tril, diagonal": ({ square }) => [square.tril(-1), square.diagonal(1, 1, 2)],
  "transpose, reshape": ({ x }) => x.transpose(0, 2).reshape([12, 6]),
  asStrided: ({ x }) => x.asStrided([4, 5], [3, 11], 2),
  unfold: ({ x }) => x.unfold(2, 3, 2),
  oneHot: ({ three }) => three.oneHot(5),
  searchsorted: ({ x, y }) => searchsorted(x.flatten().sort()[0], y),
  bincount: ({ places }) => places.flatten().bincount(),
};

const networks: Record<string, Operator> = {
  "mm, mv, dot": ({ x, row }) => [x.select(0, 0).mm(x.select(0, 1).t()), x.select(0, 2).mv(row), row.dot(row)],
  "bmm, baddbmm": ({ x, y, square }) => [x.bmm(y.transpose(1, 2)), square.baddbmm(square, square, { alpha: -2 })],
  matmul: ({ x, square }) => x.narrow(2, 0, 5).unsqueeze(1).matmul(square),
  addmm: ({ x, y, row }) => row.addmm(x.select(0, 0).t(), y.select(0, 0), { beta: 0.5, alpha: 3 }),
  outer: ({ row, bias }) => row.outer(bias),
  einsum: ({ x, y }) => einsum("bik,bjk->bij", [x, y]),
  cdist: ({ x, y }) => cdist(x, y),
  linear: ({ x, y, column }) => linear(x, y.select(0, 0), column.flatten()),
  embedding: ({ square, three }) => embedding(square.select(0, 0), three),
  conv2d: ({ images, kernel, bias }) => conv2d(images, kernel, bias, 1, 1),
  "conv2d with a stride": ({ images, kernel }) => conv2d(images, kernel, null, 2, 1),
  "conv2d in groups": ({ images, grouped }) => conv2d(images, grouped, null, 2, 1, 1, 4),
  convTranspose2d: ({ images, kernel }) => convTranspose2d(images, kernel.transpose(0, 1), null, 2, 1),
  "convTranspose2d in groups": ({ images, grouped }) => convTranspose2d(images, grouped, null, 2, 1, 0, 4),
  "conv2d, channels_last": ({ images, kernel, bias }) =>
    conv2d(images.to({ memoryFormat: "channelsLast" }), kernel.to({ memoryFormat: "channelsLast" }), bias, 1, 1),
  "avgPool2d, maxPool2d": ({ images }) => [images.avgPool2d(2), images.maxPool2d(2)],
  upsampleNearest2d: ({ images }) => images.upsampleNearest2d([16, 16]),
  gridSampler: ({ images, grid }) => gridSampler(images, grid, 0, 0, false),
  groupNorm: ({ images, row }) => groupNorm(images, 2, row.narrow(0, 0, 4), row.narrow(0, 2, 4)),
  "groupNorm, channels_last": ({ images }) => groupNorm(images.to({ memoryFormat: "channelsLast" }), 2),
  layerNorm: ({ x, row, bias }) => layerNorm(x, [6], row, bias),
};

/** In float32 their results are too sensitive to compare. */
const decompositions: Record<string, Operator> = {
  // Eigenvectors may have either sign, so what they span is compared.
  linalgEigh: ({ symmetric }) => {
    const [values, vectors] = symmetric.linalgEigh();
    return [values, vectors.mul(values.exp().unsqueeze(1)).bmm(vectors.transpose(1, 2))];
  },
  linalgCholesky: ({ positive }) => positive.linalgCholesky(),
  linalgSolve: ({ square }) => linalgSolve(square, square.transpose(1, 2)),
  linalgSlogdet: ({ square }) => linalgSlogdet(square),
  "fftRfft2, fftIrfft2": ({ images }) => [images.fftRfft2().viewAsReal(), images.fftRfft2().fftIrfft2()],
};

function compare(table: Record<string, Operator>, dtypes = precisions): void {
  for (const [name, apply] of Object.entries(table)) {
    scopedTest(name, () => {
      const expected = [apply(operands(exact))].flat();
      for (const [dtype, tolerance] of dtypes) {
        const found = [apply(operands({ dtype, device }))].flat();
        expect(found).toHaveLength(expected.length);
        found.forEach((result, i) => {
          expect(result.device.startsWith(device)).toBe(true);
          expectClose(result, expected[i]!, tolerance);
        });
      }
    });
  }
}

describe("element by element", () => compare(elementwise));
describe("reductions and order", () => compare(reductions));
describe("places and shapes", () => compare(shapes));
describe("products and layers", () => compare(networks));
describe("decompositions", () => compare(decompositions, double));

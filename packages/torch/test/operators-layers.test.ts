import {
  affineGridGenerator,
  arange,
  batchNorm,
  conv2d,
  conv2dSame,
  conv3d,
  convolution,
  convTranspose2d,
  dropout,
  embedding,
  Generator,
  gridSampler,
  groupNorm,
  instanceNorm,
  layerNorm,
  linear,
  manualSeed,
  ones,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { expectClose, normal, scopedTest } from "./support.js";

const tight = { rtol: 1e-12, atol: 1e-12 };
const double = (numbers: number[], shape = [numbers.length]): Tensor => tensor(numbers, { dtype: "float64", shape });

interface Geometry {
  stride: number;
  padding: number;
  dilation: number;
  groups: number;
}

/** Convolution by its definition, one output element at a time. */
function naiveConvolution(x: Tensor, weight: Tensor, { stride, padding, dilation, groups }: Geometry): number[] {
  const [batch, channels, height, width] = x.shape as [number, number, number, number];
  const [outChannels, inChannels, kernel] = weight.shape as [number, number, number];
  const [xs, ws] = [x.toFloat64Array(), weight.toFloat64Array()];
  const span = dilation * (kernel - 1) + 1;
  const outHeight = Math.floor((height + 2 * padding - span) / stride) + 1;
  const outWidth = Math.floor((width + 2 * padding - span) / stride) + 1;
  const outputs: number[] = [];
  for (let b = 0; b < batch; b++)
    for (let o = 0; o < outChannels; o++)
      for (let i = 0; i < outHeight; i++)
        for (let j = 0; j < outWidth; j++) {
          let sum = 0;
          for (let c = 0; c < inChannels; c++)
            for (let u = 0; u < kernel; u++)
              for (let v = 0; v < kernel; v++) {
                const row = i * stride + u * dilation - padding;
                const column = j * stride + v * dilation - padding;
                if (row < 0 || row >= height || column < 0 || column >= width) continue;
                const channel = Math.floor(o / (outChannels / groups)) * inChannels + c;
                const pixel = xs[((b * channels + channel) * height + row) * width + column]!;
                sum += pixel * ws[((o * inChannels + c) * kernel + u) * kernel + v]!;
              }
          outputs.push(sum);
        }
  return outputs;
}

describe("convolution", () => {
  const geometries: Geometry[] = [
    { stride: 1, padding: 1, dilation: 1, groups: 1 },
    { stride: 2, padding: 1, dilation: 1, groups: 2 },
    { stride: 1, padding: 2, dilation: 2, groups: 4 },
    { stride: 3, padding: 0, dilation: 1, groups: 1 },
  ];
  for (const geometry of geometries) {
    const { stride, padding, dilation, groups } = geometry;
    scopedTest(`equals its definition, ${JSON.stringify(geometry)}`, () => {
      const x = normal([2, 4, 6, 5], 1);
      const weight = normal([8, 4 / groups, 3, 3], 2);
      const y = conv2d(x, weight, null, stride, padding, dilation, groups);
      expectClose(y, naiveConvolution(x, weight, geometry), tight);
      const bias = normal([8], 3);
      const biased = conv2d(x, weight, bias, [stride, stride], [padding, padding], dilation, groups);
      expectClose(biased, y.add(bias.view([8, 1, 1])), tight);
    });

    scopedTest(`transposed, is the adjoint, ${JSON.stringify(geometry)}`, () => {
      const x = normal([2, 4, 6, 5], 4);
      const weight = normal([8, 4 / groups, 3, 3], 5);
      const y = conv2d(x, weight, null, stride, padding, dilation, groups);
      const z = normal(y.shape, 6);
      // The part of the input that a stride leaves over at the end.
      const over = [0, 1].map((axis) => {
        const reached = (y.shape[2 + axis]! - 1) * stride - 2 * padding + 2 * dilation + 1;
        return x.shape[2 + axis]! - reached;
      });
      const back = convTranspose2d(z, weight, null, stride, padding, over, groups, dilation);
      expectClose(back.mul(x).sum(), y.mul(z).sum(), tight);
    });
  }

  scopedTest("float32 in channels_last agrees with float64", () => {
    const x = normal([2, 4, 8, 8], 7);
    const weight = normal([6, 4, 3, 3], 8);
    const last = (t: Tensor): Tensor => t.float().to({ memoryFormat: "channelsLast" });
    expectClose(conv2d(last(x), last(weight), null, 1, 1), conv2d(x, weight, null, 1, 1), { rtol: 1e-5, atol: 1e-5 });
  });

  scopedTest("its other forms", () => {
    const x = normal([1, 2, 5, 5], 9);
    const weight = normal([3, 2, 3, 3], 10);
    const y = conv2d(x, weight, null, 1, 1);
    expectClose(conv2dSame(x, weight, null, 1, "same"), y, tight);
    expectClose(convolution(x, weight, null, [1, 1], [1, 1], [1, 1], false, [0, 0], 1), y, tight);
    expectClose(conv3d(x.unsqueeze(2), weight.unsqueeze(2), null, 1, [0, 1, 1]).squeeze(2), y, tight);
    expect(() => conv2d(x, normal([3, 4, 3, 3]))).toThrow(
      "aten::conv2d (input Double[1, 2, 5, 5], weight Double[3, 4, 3, 3]): ",
    );
  });
});

describe("pooling and resampling", () => {
  const image = (): Tensor => arange(0, 16, 1, { dtype: "float64" }).view([1, 1, 4, 4]);

  scopedTest("pooling takes means and maxima of windows", () => {
    expectClose(image().avgPool2d(2), [2.5, 4.5, 10.5, 12.5], tight);
    expectClose(image().avgPool2d(3, 3, 1), [10 / 9, 18 / 9, 42 / 9, 50 / 9], tight);
    expectClose(image().avgPool2d([2, 4]), [3.5, 11.5], tight);
    expectClose(image().maxPool2d(2, 1), [5, 6, 7, 9, 10, 11, 13, 14, 15], tight);
    expectClose(image().adaptiveAvgPool2d(1), 7.5, tight);
  });

  scopedTest("interpolation reproduces what it must", () => {
    expectClose(double([1, 2], [1, 1, 1, 2]).upsampleNearest2d([2, 4]), [1, 1, 2, 2, 1, 1, 2, 2], tight);
    expectClose(double([0, 1], [1, 1, 1, 2]).upsampleBilinear2d([1, 4], false), [0, 0.25, 0.75, 1], tight);
    const plane = (n: number): Tensor => {
      const axis = arange(0, n, 1, { dtype: "float64" }).div(n - 1);
      return axis.mul(2).unsqueeze(1).sub(axis).view([1, 1, n, n]);
    };
    expectClose(plane(4).upsampleBilinear2d([7, 7], true), plane(7), tight);
    expectClose(ones([1, 1, 4, 4]).upsampleBicubic2d(6, false), ones([1, 1, 6, 6]), { atol: 1e-6 });
    expectClose(plane(5).upsampleBicubic2d([9, 9], true).slice(2, 0, 9, 2).slice(3, 0, 9, 2), plane(5), tight);
  });

  scopedTest("sampling on the identity grid changes nothing, on a mirrored one mirrors", () => {
    const theta = (x: number): Tensor => double([x, 0, 0, 0, 1, 0], [1, 2, 3]);
    for (const alignCorners of [true, false]) {
      const sample = (x: number): Tensor =>
        gridSampler(image(), affineGridGenerator(theta(x), [1, 1, 4, 4], alignCorners), 0, 0, alignCorners);
      expectClose(sample(1), image(), tight);
      expectClose(sample(-1), image().flip([3]), tight);
    }
  });

  scopedTest("padding and pixel shuffling", () => {
    const row = double([1, 2, 3], [1, 1, 1, 3]);
    expectClose(row.pad([2, 1], "constant", 9), [9, 9, 1, 2, 3, 9], tight);
    expectClose(row.squeeze(0).pad([2, 2], "reflect"), [3, 2, 1, 2, 3, 2, 1], tight);
    expectClose(image().reflectionPad2d([1, 0, 0, 0]).select(3, 0), [1, 5, 9, 13], tight);
    expectClose(arange(4).view([1, 4, 1, 1]).pixelShuffle(2), [0, 1, 2, 3], tight);
    expectClose(image().pixelUnshuffle(2).pixelShuffle(2), image(), tight);
    expectClose(image().pixelUnshuffle(2).select(1, 1), [1, 3, 9, 11], tight);
  });
});

describe("normalisation", () => {
  const eps = 1e-5;
  const standardise = (x: Tensor, dims: number[]): Tensor =>
    x.sub(x.mean(dims, true)).div(x.var(dims, { correction: 0, keepdim: true }).add(eps).sqrt());

  scopedTest("to mean 0 and variance 1 over its axes", () => {
    const x = normal([2, 6, 3, 4], 11).mul(3).add(5);
    const weight = normal([6], 12);
    const bias = normal([6], 13);
    const affine = (y: Tensor): Tensor => y.mul(weight.view([6, 1, 1])).add(bias.view([6, 1, 1]));
    const grouped = standardise(x.view([2, 3, 2, 3, 4]), [2, 3, 4]).view(x.shape);
    expectClose(groupNorm(x, 3, weight, bias, eps), affine(grouped), tight);
    expectClose(groupNorm(x, 3), grouped, tight);
    expectClose(layerNorm(x, [3, 4], null, null, eps), standardise(x, [2, 3]), tight);
    expectClose(
      instanceNorm(x, weight, bias, null, null, true, 0.1, eps, false),
      affine(standardise(x, [2, 3])),
      tight,
    );
  });

  scopedTest("over batches, with running statistics", () => {
    const x = normal([4, 2, 3, 3], 14).mul(2).add(1);
    const [mean, variance] = [zeros([2], { dtype: "float64" }), ones([2], { dtype: "float64" })];
    expectClose(batchNorm(x, null, null, mean, variance, true, 0.1, eps, false), standardise(x, [0, 2, 3]), tight);
    expectClose(mean, x.mean([0, 2, 3]).mul(0.1), tight);
    expectClose(variance, x.var([0, 2, 3]).mul(0.1).add(0.9), tight);
    const evaluated = batchNorm(x, null, null, mean, variance, false, 0.1, eps, false);
    const column = (t: Tensor): Tensor => t.view([2, 1, 1]);
    expectClose(evaluated, x.sub(column(mean)).div(column(variance).add(eps).sqrt()), tight);
  });
});

describe("layers without parameters of their own", () => {
  scopedTest("activations equal their formulas", () => {
    const points = [-3, -0.5, 0, 0.5, 3];
    const x = double(points);
    const sigmoid = (v: number): number => 1 / (1 + Math.exp(-v));
    const softplus = (v: number): number => Math.log1p(Math.exp(v));
    const table: [Tensor, (v: number) => number][] = [
      [x.relu(), (v) => Math.max(v, 0)],
      [x.leakyRelu(0.1), (v) => (v > 0 ? v : 0.1 * v)],
      [x.elu(2), (v) => (v > 0 ? v : 2 * Math.expm1(v))],
      [x.sigmoid(), sigmoid],
      [x.logSigmoid(), (v) => Math.log(sigmoid(v))],
      [x.silu(), (v) => v * sigmoid(v)],
      [x.softplus(), softplus],
      [x.mish(), (v) => v * Math.tanh(softplus(v))],
      [x.hardtanh(-1, 2), (v) => Math.min(Math.max(v, -1), 2)],
      [
        x.gelu({ approximate: "tanh" }),
        (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))),
      ],
    ];
    for (const [actual, formula] of table) expectClose(actual, points.map(formula), tight);
    expectClose(x.gelu(), x.mul(x.div(Math.SQRT2).erf().add(1)).div(2), tight);
  });

  scopedTest("softmax is the same after a shift, and sums to 1", () => {
    const x = normal([3, 4], 15);
    const exponentials = x.exp();
    const expected = exponentials.div(exponentials.sum(1, true));
    expectClose(x.softmax(1), expected, tight);
    expectClose(x.add(1000).softmax(1), expected, { rtol: 1e-11 });
    expectClose(x.logSoftmax(1), expected.log(), tight);
    expect(x.float().softmax(-1, "float64").dtype).toBe("float64");
  });

  scopedTest("linear and embedding", () => {
    const x = normal([2, 3], 16);
    const [weight, bias] = [normal([4, 3], 17), normal([4], 18)];
    expectClose(linear(x, weight, bias), x.mm(weight.t()).add(bias), tight);
    const rows = embedding(weight, tensor([3, 0, 3], { dtype: "int64" }));
    expectClose(rows, weight.indexSelect(0, tensor([3, 0, 3], { dtype: "int64" })), tight);
  });

  scopedTest("dropout keeps the mean, and does nothing in evaluation", () => {
    const x = ones([10_000]);
    manualSeed(0);
    const y = dropout(x, 0.25, true);
    const kept = y.ne(0).sum().item();
    // Four standard deviations of a binomial count.
    expect(Math.abs(kept - 7500)).toBeLessThan(4 * Math.sqrt(10_000 * 0.25 * 0.75));
    expectClose(y.max(), 1 / 0.75);
    expect(dropout(x, 0.25, false).equal(x)).toBe(true);
    using generator = new Generator(1);
    const ups = zeros([10_000]).bernoulliWith(0.1, { generator }).sum().item();
    expect(Math.abs(ups - 1000)).toBeLessThan(4 * Math.sqrt(10_000 * 0.1 * 0.9));
  });
});

describe("losses", () => {
  const [none, mean, sum] = [0, 1, 2];

  scopedTest("regression", () => {
    const [x, y] = [double([0, 2, -3]), double([0.5, 0, 0])];
    expectClose(x.mseLoss(y, none), [0.25, 4, 9], tight);
    expectClose(x.mseLoss(y), 13.25 / 3, tight);
    expectClose(x.l1Loss(y, sum), 5.5, tight);
    expectClose(x.huberLoss(y, none, 2), [0.125, 2, 4], tight);
    expectClose(x.smoothL1Loss(y, none, 2), [0.0625, 1, 2], tight);
  });

  scopedTest("classification", () => {
    const logits = normal([3, 4], 19);
    const labels = tensor([1, 3, 0], { dtype: "int64" });
    const picked = logits.logSoftmax(1).gather(1, labels.unsqueeze(1)).neg();
    expectClose(logits.crossEntropyLoss(labels, null, none), picked.squeeze(1), tight);
    expectClose(logits.logSoftmax(1).nllLoss(labels, null, mean), picked.mean(), tight);
    const targets = double([0, 1, 0.3]);
    const x = double([-2, 0.5, 3]);
    const p = x.sigmoid();
    const entropy = targets
      .mul(p.log())
      .add(targets.rsub(1).mul(p.rsub(1).log()))
      .neg();
    expectClose(x.binaryCrossEntropyWithLogits(targets, null, null, none), entropy, tight);
    const q = double([0.2, 0.8]);
    expectClose(double([0.5, 0.5]).log().klDiv(q, sum), 0.2 * Math.log(0.4) + 0.8 * Math.log(1.6), tight);
  });
});

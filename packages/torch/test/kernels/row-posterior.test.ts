/** Posterior means over rows of bytes, for which most rows are never read, against sums over all rows in float64. */

import {
  cat,
  engineReport,
  Generator,
  linalgQr,
  type RowSketch,
  randint,
  rowPosteriorMean,
  setThreads,
  sketchRows,
  type Tensor,
  tensor,
  zeros,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { expectClose, normal, scopedTest } from "../support.js";

/** Rows around a few centres, at all distances from them; row 1 equals row 0. */
function clusteredRows(count: number, columns: number): Tensor {
  using generator = new Generator(columns);
  const centres = randint(0, 256, [5, columns], { generator }).double();
  const spread = tensor(
    Float64Array.from({ length: count }, (_, i) => 2 ** (i % 7)),
    { shape: [count, 1] },
  );
  const chosen = tensor(Int32Array.from({ length: count }, (_, i) => i % 5));
  const values = centres.indexSelect(0, chosen).add(normal([count, columns], 1).mul(spread));
  const rows = values.round().clamp(0, 255).to({ dtype: "uint8" });
  rows.select(0, 1).copy_(rows.select(0, 0));
  return rows;
}

const orthonormal = (vectors: Tensor): Tensor => linalgQr(vectors)[0].t().float().contiguous();

/** Along random vectors, or along differences between rows, which represent the rows well. */
function sketchOf(rows: Tensor, dimensions: number, isGood: boolean): RowSketch {
  const columns = rows.size(1);
  const values = rows.double();
  const mean = values.mean([0]);
  const vectors = isGood ? values.narrow(0, 2, dimensions).sub(mean).t() : normal([columns, dimensions], 2);
  return sketchRows(rows, orthonormal(vectors), mean.float());
}

/** softmax(-||p - r||² / (2 step²)) r in float64, from distances relative to the origin's. */
function expectedMean(rows: Tensor, origins: Tensor, directions: Tensor, steps: Float64Array): Tensor {
  const values = rows.double();
  const shift = origins.double().unsqueeze(1).sub(values.unsqueeze(0));
  const step = tensor(steps).unsqueeze(1);
  const along = shift.mul(directions.double().unsqueeze(1)).sum(2);
  const logits = shift.square().sum(2).add(along.mul(step).mul(2)).div(step.square()).mul(-0.5);
  return logits.softmax(1).mm(values);
}

// Fewer rows than a block, several blocks with a rest, and several parts; fewer columns than a vector holds, and more than
// integers are summed over at one time.
const sizes: [points: number, count: number, columns: number, dimensions: number][] = [
  [1, 7, 5, 2],
  [3, 64, 64, 4],
  [5, 150, 65, 6],
  [7, 700, 784, 16],
  [2, 40, 4200, 10],
];

describe.each(sizes)("%i points, %i rows of %i bytes, %i coordinates", (points, count, columns, dimensions) => {
  const directions = (): Tensor => normal([points, columns], 3).float();
  const origins = Int32Array.from({ length: points }, (_, i) => (7 * i) % count);

  for (const isGood of [false, true]) {
    scopedTest(`agrees with sums over all rows at every step; ${isGood ? "good" : "random"} directions`, () => {
      const rows = clusteredRows(count, columns);
      const sketch = sketchOf(rows, dimensions, isGood);
      const points_ = { origins: rows.indexSelect(0, tensor(origins)), directions: directions() };
      for (const step of [1e-3, 0.3, 2, 10, 40, 200, 3000, 1e6]) {
        const steps = Float64Array.from({ length: points }, (_, i) => step * (1 + i / 8));
        const found = rowPosteriorMean({ ...points_, steps: tensor(steps) }, rows, sketch);
        expect(found.dtype).toBe("float32");
        const expected = expectedMean(rows, points_.origins, points_.directions, steps);
        expectClose(found.double(), expected, { rtol: 0, atol: 2e-4 });
      }
    });
  }

  scopedTest("the origin and its copy alone have weight where the step is small", () => {
    const rows = clusteredRows(count, columns);
    const first = rows.narrow(0, 0, 1);
    const point = { origins: first, directions: directions().narrow(0, 0, 1), steps: tensor(Float64Array.of(1e-9)) };
    const found = rowPosteriorMean(point, rows, sketchOf(rows, dimensions, true));
    expect(found.toFloat64Array()).toEqual(first.double().toFloat64Array());
  });

  scopedTest("no bit depends on the number of threads", () => {
    const { threads } = engineReport();
    const results = [1, 2, 3].map((number) => {
      setThreads(number);
      const rows = clusteredRows(count, columns);
      const steps = tensor(Float64Array.from({ length: points }, (_, i) => 3 * (i + 1)));
      const point = { origins: rows.indexSelect(0, tensor(origins)), directions: directions(), steps };
      return rowPosteriorMean(point, rows, sketchOf(rows, dimensions, true)).toFloat64Array();
    });
    setThreads(threads);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

scopedTest("a row is found that only the noise, in dimensions that no coordinate shows, makes likely", () => {
  const columns = 784;
  // Standard normal numbers of which 5.5 is along u, orthogonal to the basis; the row is 7 steps along u from the origin.
  const vectors = linalgQr(normal([columns, 5], 4))[0];
  const u = vectors.narrow(1, 4, 1).t();
  const noise = normal([1, columns], 5);
  const directions = noise.add(u.mul(noise.mul(u).sum().mul(-1).add(5.5))).float();
  const origin = tensor(new Float64Array(columns).fill(128), { shape: [1, columns] });
  const far = normal([100, columns], 6).mul(60).add(128);
  for (const step of [4, 16]) {
    const likely = origin.add(u.mul(7 * step));
    const rows = cat([origin, likely, far]).round().clamp(0, 255).to({ dtype: "uint8" });
    const sketch = sketchRows(rows, vectors.narrow(1, 0, 4).t().float().contiguous(), origin.view([columns]).float());
    const steps = Float64Array.of(step);
    const origins = rows.narrow(0, 0, 1);
    const found = rowPosteriorMean({ origins, directions, steps: tensor(steps) }, rows, sketch).double();
    expectClose(found, expectedMean(rows, origins, directions, steps), { rtol: 0, atol: 2e-4 });
    expectClose(found, rows.narrow(0, 1, 1).double(), { rtol: 0, atol: 0.01 });
  }
});

scopedTest("a sketch keeps distances: coordinates and what they leave out add up to them", () => {
  const rows = clusteredRows(70, 96);
  const { coordinates, lengths, tails, norms, mean, scale } = sketchOf(rows, 6, true);
  expect(coordinates.shape).toEqual([8, 3, 16, 2]);
  const squares = rows.double().sub(mean).square().sum(1);
  const sums = lengths
    .double()
    .narrow(0, 0, 70)
    .add(tails.double().narrow(0, 0, 70).square())
    .div(scale ** 2);
  expectClose(sums, squares, { rtol: 1e-3, atol: 1 });
  expect(lengths.narrow(0, 70, 58).toFloat64Array()).toEqual(new Float64Array(58).fill(Number.POSITIVE_INFINITY));
  expectClose(norms.double(), rows.double().square().sum(1), { rtol: 0, atol: 0 });
  // In the order of the groups: rows, then pairs of coordinates.
  const longest = coordinates.permute([0, 2, 1, 3]).reshape([128, 6]).double().square().sum(1);
  expectClose(longest.narrow(0, 0, 70), lengths.narrow(0, 0, 70).double(), { rtol: 1e-6, atol: 0 });
});

scopedTest("inputs that do not fit are errors", () => {
  const rows = clusteredRows(20, 12);
  const sketch = sketchOf(rows, 4, true);
  const points = { origins: rows.narrow(0, 0, 2), directions: zeros([2, 12]), steps: zeros([2]).double().add(1) };
  const mean = (change: Partial<typeof points>, other: Partial<RowSketch> = {}, matrix = rows): void =>
    void rowPosteriorMean({ ...points, ...change }, matrix, { ...sketch, ...other });
  expect(() => mean({ origins: zeros([2, 12]) })).toThrow("origins must be rows like uint8");
  expect(() => mean({ directions: zeros([2, 11]) })).toThrow("directions must be float32 with the shape");
  expect(() => mean({ steps: zeros([2]) })).toThrow("steps must be float64 [2]");
  expect(() => mean({}, {}, rows.double())).toThrow("rows must be a uint8 matrix");
  expect(() => mean({}, { tails: zeros([20]) })).toThrow("the tails must be 64 contiguous values of Float");
  expect(() => mean({}, { basis: zeros([3, 12]) })).toThrow("the dimensions of a sketch must be even");
  expect(() => mean({}, { norms: sketch.norms.narrow(0, 0, 19) })).toThrow("the squared norms must be 20 contiguous");
});

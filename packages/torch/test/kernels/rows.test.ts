/** Distances to rows of bytes and sums of them, whose fast path is a loop of the addon, against sums in float64. */

import {
  engineReport,
  Generator,
  ones,
  randint,
  relativeSquaredDistances,
  setThreads,
  type Tensor,
  TorchError,
  tensor,
  weightedRowSum,
  zeros,
} from "@stf/torch";
import { describe, expect } from "vitest";
import { checkGradients, expectClose, normal, scopedTest } from "../support.js";

const N = 60;

/** Row i is random, or, in the second half, row i - 30 with every other value changed by one. */
function byteRows(columns: number): Uint8Array {
  using generator = new Generator(columns);
  using random = randint(0, 256, [N, columns], { dtype: "uint8", generator });
  const bytes = random.toTypedArray() as Uint8Array;
  for (let at = (N / 2) * columns; at < bytes.length; at += 2) {
    const original = bytes[at - (N / 2) * columns]!;
    bytes[at] = original === 0 ? 1 : original - 1;
  }
  return bytes;
}

const float32 = (count: number, columns: number, seed: number): Tensor => normal([count, columns], seed).float();
const list = (count: number, item: (i: number) => number): Int32Array =>
  Int32Array.from({ length: count }, (_, i) => item(i));

/** Rows of a matrix that is given as one list. */
function rowsOf<T extends Uint8Array | Float32Array>(flat: T, columns: number): (row: number) => T {
  return (row) => flat.subarray(row * columns, (row + 1) * columns) as T;
}

/** ||o - r||² and d.(o - r). */
function expectedParts(o: Uint8Array, d: Float32Array, r: Uint8Array): { square: number; along: number } {
  let [square, along] = [0, 0];
  for (let k = 0; k < o.length; k++) {
    const difference = o[k]! - r[k]!;
    square += difference ** 2;
    along += d[k]! * difference;
  }
  return { square, along };
}

// Fewer columns than a vector, with a rest, and more than are summed at one time; queries and rows of less than a tile, of
// several tiles and with a rest.
const sizes: [queries: number, count: number, columns: number][] = [
  [1, 1, 1],
  [2, 5, 3],
  [3, 24, 64],
  [5, 25, 65],
  [9, 60, 784],
  [70, 49, 1030],
  [6, 31, 3072],
];

describe.each(sizes)("%i points and %i rows of %i bytes", (queries, count, columns) => {
  const bytes = byteRows(columns);
  const row = rowsOf(bytes, columns);
  const origins = list(queries, (i) => (7 * i) % N);
  const chosen = list(count, (j) => (7 * j + 30 * (j % 2)) % N);

  function inputs() {
    const rows = tensor(bytes, { shape: [N, columns] });
    return { rows, origins: rows.indexSelect(0, tensor(origins)), directions: float32(queries, columns, 3) };
  }

  scopedTest("squared distances are exact, and what the step adds is as good as float32 allows", () => {
    const { rows, ...points } = inputs();
    const index = tensor(chosen);
    const distances = (step: number): Float64Array => {
      const steps = tensor(new Float64Array(queries).fill(step));
      return relativeSquaredDistances({ ...points, steps }, rows, index).toFloat64Array();
    };
    const [none, one] = [distances(0), distances(1)];
    const direction = rowsOf(points.directions.toFloat32Array(), columns);
    origins.forEach((origin, i) => {
      chosen.forEach((item, j) => {
        const { square, along } = expectedParts(row(origin), direction(i), row(item));
        expect(none[i * count + j]).toBe(square);
        expect(Math.abs(one[i * count + j]! - square - 2 * along)).toBeLessThan(1e-6 * 256 * columns);
      });
    });
  });

  scopedTest("a row that equals the origin is at 0, whatever the step", () => {
    const { rows, ...points } = inputs();
    const steps = tensor(new Float64Array(queries).fill(1e9));
    const found = relativeSquaredDistances({ ...points, steps }, rows).toFloat64Array();
    origins.forEach((origin, i) => void expect(found[i * N + origin]).toBe(0));
  });

  scopedTest("stock operators give the same", () => {
    const { rows, ...points } = inputs();
    const steps = tensor(Float64Array.from({ length: queries }, (_, i) => i / 2));
    const expected = relativeSquaredDistances({ ...points, directions: points.directions.double(), steps }, rows);
    const atol = 1e-6 * 256 * columns * queries;
    const fast = relativeSquaredDistances({ ...points, steps }, rows);
    expectClose(fast, expected, { rtol: 0, atol });
    const columnMajor = rows.t().contiguous().t();
    expectClose(relativeSquaredDistances({ ...points, steps }, columnMajor), expected, { rtol: 0, atol });
    const index = tensor(chosen).to({ dtype: "int64" });
    expectClose(relativeSquaredDistances({ ...points, steps }, rows, index), expected.indexSelect(1, index), {
      rtol: 0,
      atol,
    });
    const doubles = { origins: points.origins.double(), directions: points.directions.double(), steps };
    expectClose(relativeSquaredDistances(doubles, rows.double()), expected, { rtol: 0, atol: 1e-6 * columns });
  });

  scopedTest("weighted sums, some weights and some rows being without weight", () => {
    const { rows } = inputs();
    const index = tensor(chosen);
    const weights = float32(queries, count, 5);
    const isZero = (i: number, j: number): boolean => (i + j) % 3 === 0 || j % 5 === 1;
    const mask = Uint8Array.from({ length: queries * count }, (_, at) => +!isZero(Math.floor(at / count), at % count));
    weights.mul_(tensor(mask, { shape: [queries, count] }));
    const found = weightedRowSum(weights, rows, index);
    expect(found.dtype).toBe("float32");
    const expected = weights.double().mm(rows.double().indexSelect(0, index));
    expectClose(found.double(), expected, { rtol: 0, atol: 1e-6 * 256 * count });
    const columnMajor = rows.t().contiguous().t();
    expectClose(weightedRowSum(weights, columnMajor, index).double(), expected, { rtol: 0, atol: 1e-6 * 256 * count });
    const one = zeros([queries, N]);
    origins.forEach((origin, i) => void one.select(0, i).narrow(0, origin, 1).fill_(1));
    expect(Array.from(weightedRowSum(one, rows).toFloat64Array())).toEqual(
      Array.from(origins).flatMap((origin) => [...row(origin)]),
    );
  });

  scopedTest("no bit depends on the number of threads", () => {
    const { threads } = engineReport();
    const results = [1, 2, 3].map((number) => {
      setThreads(number);
      const { rows, ...points } = inputs();
      const steps = tensor(new Float64Array(queries).fill(0.3));
      const distances = relativeSquaredDistances({ ...points, steps }, rows);
      const sums = weightedRowSum(distances.neg().mul(1e-3).softmax(1), rows);
      return [distances.toFloat64Array(), sums.toFloat64Array()];
    });
    setThreads(threads);
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });
});

scopedTest("no rows at all", () => {
  const points = { origins: zeros([2, 5], { dtype: "uint8" }), directions: zeros([2, 5]), steps: zeros([2]).double() };
  const none = zeros([0, 5], { dtype: "uint8" });
  expect(relativeSquaredDistances(points, none).shape).toEqual([2, 0]);
  expect(weightedRowSum(zeros([2, 0]), none).toFloat64Array()).toEqual(new Float64Array(10));
});

scopedTest("directions, steps and weights can be differentiated by", () => {
  const rows = tensor(Uint8Array.of(3, 200, 7, 7, 90, 255), { shape: [3, 2] });
  const origins = rows.narrow(0, 0, 2);
  const distances = (directions: Tensor, steps: Tensor): Tensor =>
    relativeSquaredDistances({ origins, directions, steps }, rows).mul(1e-3);
  checkGradients(distances, [normal([2, 2], 1), normal([2], 2)]);
  checkGradients((weights) => weightedRowSum(weights, rows.double()).mul(1e-2), [normal([2, 3], 3)]);
});

scopedTest("inputs that do not fit are errors", () => {
  const rows = zeros([4, 6], { dtype: "uint8" });
  const points = { origins: rows.narrow(0, 0, 2), directions: zeros([2, 6]), steps: zeros([2]).double() };
  const distances = (change: Partial<typeof points>, index?: Tensor, matrix = rows): void =>
    void relativeSquaredDistances({ ...points, ...change }, matrix, index);
  expect(() => distances({ origins: zeros([2, 5], { dtype: "uint8" }) })).toThrow("origins must be rows like");
  expect(() => distances({ origins: zeros([2, 6]) })).toThrow("origins must be rows like");
  expect(() => distances({ directions: zeros([3, 6]) })).toThrow("directions must be floating point with the shape");
  expect(() => distances({ steps: zeros([2]) })).toThrow("steps must be float64 [2]");
  expect(() => distances({ steps: zeros([3]).double() })).toThrow("steps must be float64 [2]");
  expect(() => distances({}, tensor(Int32Array.of(0, 4)))).toThrow("index 4 is out of range for 4 rows");
  expect(() => distances({}, tensor(Int32Array.of(-1)))).toThrow("index -1 is out of range for 4 rows");
  expect(() => distances({}, zeros([2]))).toThrow("index must be a list of int32 or int64");
  expect(() => distances({}, undefined, zeros([6], { dtype: "uint8" }))).toThrow("rows must be a matrix");
  expect(() => distances({}, undefined, zeros([4, 6], { dtype: "int32" }))).toThrow("rows must be uint8 or floating");
  expect(() => weightedRowSum(ones([2, 3]), rows)).toThrow("one column for each of 4 rows");
  expect(() => weightedRowSum(ones([2, 4], { dtype: "int32" }), rows)).toThrow("weights must be floating point");
  expect(() => weightedRowSum(ones([2, 1]), rows, tensor(Int32Array.of(9)))).toThrow(TorchError);
});

/** Distances to rows and sums of them on the device that STF_TEST_DEVICE names, the CPU by default, against float64. */

import { Generator, randint, relativeSquaredDistances, type Tensor, tensor, weightedRowSum } from "@stf/torch";
import { describe, expect } from "vitest";
import { device, expectClose, normal, scopedTest } from "./support.js";

describe.each([
  [5, 40, 300],
  [4, 24, 3072],
])("%i points and %i rows of %i bytes", (queries, count, columns) => {
  /** The rows of the second half differ from those of the first in every other value, by one. */
  function rows(): Tensor {
    using generator = new Generator(columns);
    const random = randint(1, 256, [count / 2, columns], { generator });
    const change = tensor([0, 1])
      .repeat([Math.ceil(columns / 2)])
      .narrow(0, 0, columns)
      .to({ dtype: "int64" });
    return tensor([...random.toFloat64Array(), ...random.sub(change).toFloat64Array()])
      .view([count, columns])
      .to({ dtype: "uint8" });
  }
  // More than there are, so that some come twice.
  const chosen = Int32Array.from({ length: count + 3 }, (_, j) => (7 * j + (count / 2) * (j % 2)) % count);
  /** All rows, and some of them by numbers of either kind. */
  const indices = (): (Tensor | undefined)[] => {
    const some = tensor(chosen, { device });
    return [undefined, some, some.to({ dtype: "int64" })];
  };
  const rowsAt = (matrix: Tensor, index: Tensor | undefined): Tensor =>
    index ? matrix.indexSelect(0, index.to({ device: "cpu" })) : matrix;
  const origins = (matrix: Tensor): Tensor =>
    matrix.indexSelect(0, tensor(Int32Array.from({ length: queries }, (_, i) => (11 * i) % count)));
  const directions = (): Tensor => normal([queries, columns], 3).float();

  for (const step of [0, 0.002 * 127.5, 1, 80 * 127.5]) {
    scopedTest(`distances at a step of ${step}`, () => {
      const bytes = rows();
      const [o, d] = [origins(bytes).double(), directions().double()];
      for (const index of indices()) {
        const found = relativeSquaredDistances(
          {
            origins: origins(bytes).to({ device }),
            directions: directions().to({ device }),
            steps: tensor(new Float64Array(queries).fill(step), { device }),
          },
          bytes.to({ device }),
          index,
        );
        expect(found.device.startsWith(device)).toBe(true);
        const difference = o.unsqueeze(1).sub(rowsAt(bytes, index).double());
        const squares = difference.square().sum([2]);
        const along = difference.mul(d.unsqueeze(1)).sum([2]);
        // Near-duplicates are told apart by whole numbers, which are exact; what the step adds is rounded as float32.
        if (step === 0) expectClose(found, squares, { rtol: 0, atol: 0 });
        expectClose(found, squares.add(along, { alpha: 2 * step }), { rtol: 1e-12, atol: step * 1e-6 * 128 * columns });
      }
    });
  }

  scopedTest("weighted sums", () => {
    const bytes = rows();
    for (const index of indices()) {
      const matrix = rowsAt(bytes, index).double();
      const weights = normal([queries, matrix.size(0)], 4)
        .mul(3)
        .softmax(1);
      const found = weightedRowSum(weights.float().to({ device }), bytes.to({ device }), index);
      expect(found.dtype).toBe("float32");
      expectClose(found, weights.mm(matrix), { rtol: 1e-5, atol: 0 });
    }
  });

  scopedTest("rows of float64 numbers", () => {
    const matrix = normal([count, columns], 5);
    const place = { device };
    const [o, d] = [origins(matrix), normal([queries, columns], 6)];
    const steps = tensor(Float64Array.from({ length: queries }, (_, i) => i / 2));
    const found = relativeSquaredDistances(
      { origins: o.to(place), directions: d.to(place), steps: steps.to(place) },
      matrix.to(place),
    );
    const x = o.add(d.mul(steps.unsqueeze(1)));
    const squares = (points: Tensor): Tensor => points.unsqueeze(1).sub(matrix).square().sum([2]);
    const own = x.sub(o).square().sum([1], true);
    expectClose(found, squares(x).sub(own), { rtol: 1e-10, atol: 1e-9 });
    const weights = normal([queries, count], 7);
    expectClose(weightedRowSum(weights.to(place), matrix.to(place)), weights.mm(matrix), { rtol: 1e-11, atol: 1e-11 });
  });
});

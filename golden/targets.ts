/** Stable targets. */

import { scope, type Tensor } from "@stf/torch";
import { column, type PerturbedBatch, stableFieldTarget, VectorBank } from "stf";
import { type GoldenFile, magnitude } from "./golden-file.js";

/** Target values, to about float32 precision relative to their largest entry. */
export const TARGET_TOLERANCE = 1e-5;

/** The stable target of noisy rows whose sources are the first references, `[B, ...]`. */
export function stableTarget(references: Tensor, x: Tensor, sigma: Float64Array): Tensor {
  return scope(() => {
    const [rows = 0] = x.shape;
    const [count = 0] = references.shape;
    const bank = new VectorBank("references", references.double().reshape([count, -1]));
    const source = references.narrow(0, 0, rows).double();
    const dimension = bank.dimension;
    const asPixels = (values: Tensor): Tensor => values.reshape([rows, dimension, 1, 1]);
    const batch: PerturbedBatch = {
      indices: Int32Array.from({ length: rows }, (_, row) => row),
      source: asPixels(source.float()),
      noise: asPixels(x.double().sub(source).div(column(sigma, source))),
      sigma,
    };
    const target = stableFieldTarget().of(batch, { bank, pool: "all" }).reshape(x.shape);
    bank.dispose();
    return target;
  });
}

export function checkTargets(file: GoldenFile): void {
  const rounding = file.metadataOr<Record<string, number>>("max_abs_difference_float32_vs_float64", {});
  const cases = file.names.filter((name) => name.endsWith(".x")).map((name) => name.slice(0, -".x".length));
  for (const name of cases) {
    scope(() => {
      const references = file.tensor(`${name}.ref`);
      const x = file.tensor(`${name}.x`);
      const exact = file.tensor(`${name}.target_float64`);
      const target = stableTarget(references, x, file.numbers(`${name}.sigma`));
      file.compare(`${name}: target`, target, exact, TARGET_TOLERANCE);
      // The error of float32 depends on the noise levels and sizes; the file states it.
      const fair = 2 * TARGET_TOLERANCE * magnitude(exact) + 2 * (rounding[name] ?? 0);
      file.compareAbsolute(`${name}: against float32`, target, file.tensor(`${name}.target`), fair);
      const [count = 0] = references.shape;
      const weighted = file.tensor(`${name}.weights_float64`).mm(references.double().reshape([count, -1]));
      file.compare(`${name}: weighted sum of references`, target, weighted.reshape(x.shape), TARGET_TOLERANCE);
    });
  }
}

/** Samples of a batch that are processed in groups, with the results in the order of the batch. */

import { cat, scope, type Tensor, tensor } from "@stf/torch";
import { type PerturbedBatch, selectSamples } from "./target.js";

/** The positions of equal keys, in ascending order. */
export function positionsOf<K>(keys: Iterable<K>): Map<K, number[]> {
  const positions = new Map<K, number[]>();
  let position = 0;
  for (const key of keys) {
    const list = positions.get(key);
    if (list) list.push(position);
    else positions.set(key, [position]);
    position++;
  }
  return positions;
}

/** A group of samples of a batch, by row, and how their targets are computed. */
export interface SampleGroup {
  readonly rows: readonly number[];
  readonly target: (part: PerturbedBatch) => Tensor;
}

/** Combines the targets of non-empty groups that partition the rows of a batch. */
export function bySamples(batch: PerturbedBatch, groups: readonly SampleGroup[]): Tensor {
  const [first] = groups;
  if (groups.length === 1 && first) return first.target(batch);
  return scope(() =>
    inOrder(
      groups.map(({ rows }) => rows),
      groups.map(({ rows, target }) => target(selectSamples(batch, rows))),
    ),
  );
}

/** Merges the rows of several tensors: row i of `parts[k]` becomes row `rows[k][i]`. */
export function inOrder(rows: readonly (readonly number[])[], parts: readonly Tensor[]): Tensor {
  return scope(() => {
    const places = new Int32Array(rows.reduce((sum, group) => sum + group.length, 0));
    rows.flat().forEach((row, position) => {
      places[row] = position;
    });
    const whole = cat(parts);
    return whole.indexSelect(0, tensor(places, { device: whole.device }));
  });
}

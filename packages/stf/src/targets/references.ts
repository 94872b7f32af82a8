/** Which images each sample of a step is compared with: one pool for all of them, or one for each class. */

import { cat, scope, type Tensor, tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { drawPool } from "../data/order.js";
import type { KeyedRandom } from "../random/keyed.js";
import { type PerturbedBatch, type ReferenceSet, selectSamples, type Target } from "./target.js";

/** The references of the sample that is made from a source. Samples that share a set get the same object. */
export type References = (source: number) => ReferenceSet;

/** The items of each class, ascending. */
export type ClassMembers = ReadonlyMap<number, Int32Array>;

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

/** Sorts items by class. `labels` holds the class of each item. */
export function classMembers(labels: Int32Array): ClassMembers {
  const members = [...positionsOf(labels)].sort(([a], [b]) => a - b);
  return new Map(members.map(([label, items]) => [label, Int32Array.from(items)]));
}

/** How {@link drawReferences} chooses. */
export interface ReferenceOptions {
  /** References of a sample, itself included, or everything there is. A class with fewer items uses what it has. */
  readonly count: number | "all";
  /** Given, a sample's references share its class; a class-conditional denoiser is biased otherwise. */
  readonly classes?: ClassMembers | undefined;
}

/**
 * Draws the references of one step. All samples of the step must be among `sources`, for the draw depends on them.
 *
 * @param sources - indices into the bank, which must have labels when `classes` are given
 */
export function drawReferences(
  bank: Bank,
  sources: Int32Array,
  { count, classes }: ReferenceOptions,
  random: KeyedRandom,
): References {
  if (!classes) {
    const shared: ReferenceSet =
      count === "all"
        ? { bank, pool: "all", size: bank.count }
        : { bank, pool: drawPool(sources, Math.max(count, sources.length), bank.count, random), size: count };
    return () => shared;
  }
  const classOf = (source: number): number => {
    const label = bank.labels?.[source];
    if (label !== undefined) return label;
    throw new RangeError(`references by class need labels; item ${source} of ${bank.name} has none`);
  };
  const sets = new Map<number, ReferenceSet>();
  for (const [label, members] of classes) {
    const own = sources.filter((source) => classOf(source) === label);
    if (own.length === 0) continue;
    const size = count === "all" ? members.length : Math.min(count, members.length);
    const pool = size === members.length ? members : drawPool(own, Math.max(size, own.length), members, random);
    sets.set(label, { bank, pool, size });
  }
  return (source) => {
    const found = sets.get(classOf(source));
    if (found) return found;
    throw new RangeError(`references were drawn for other sources; item ${source} is not among them`);
  };
}

/** The target of every sample against its own references, float32 `[B, C, H, W]`. */
export function targetFrom(target: Target, batch: PerturbedBatch, references: References): Tensor {
  const groups = positionsOf(Array.from(batch.indices, references));
  return bySamples(
    batch,
    [...groups].map(([set, rows]) => ({ rows, target: (part) => target(part, set) })),
  );
}

/** Some samples of a batch, by row, and how their targets are computed. */
export interface SampleGroup {
  readonly rows: readonly number[];
  readonly target: (part: PerturbedBatch) => Tensor;
}

/** Puts together the targets of groups, none of them empty, that share out the rows of a batch. */
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

/** Puts the rows of several tensors in one: row i of `parts[k]` becomes row `rows[k][i]`. */
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

/** The references of one sample as a list of items, its own source first. */
export function membersFor(source: number, { bank, pool, size }: ReferenceSet): Int32Array {
  if (pool === "all") {
    const all = Int32Array.from({ length: bank.count }, (_, item) => item);
    [all[0], all[source]] = [source, 0];
    return all;
  }
  const own = pool.indexOf(source);
  if (own < 0) throw new RangeError(`a source must be one of its references; item ${source} is not`);
  return Int32Array.from({ length: Math.min(size, pool.length) }, (_, k) => pool[(own + k) % pool.length] as number);
}

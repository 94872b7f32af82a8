/** The references that each sample of a step is compared with: the rule of a run, and its result for one step. */

import type { Bank, Items } from "../data/bank.js";
import { drawPool } from "../data/order.js";
import type { KeyedRandom } from "../random/keyed.js";
import { WARPED_REFERENCES } from "./defaults.js";
import { positionsOf } from "./groups.js";
import type { ReferenceSet } from "./target.js";

/** The references of the sample with this source. Samples with the same set get the same object. */
export type References = (source: number) => ReferenceSet;

/** A set of references by their indices, wherever the items are. */
export type Pool = Omit<ReferenceSet, "bank">;

/**
 * Chooses the references of one step from the sources alone. The target stays unbiased if a set of references reveals
 * nothing about which of them is the source, beyond its `logWeights`.
 */
export type DrawReferences = (bank: Bank, sources: Int32Array, random: KeyedRandom) => References;

/** Whether a sample's posterior may hold more than its source. It must not depend on the noise. */
export type IsNeeded = (source: number, sigma: number, warped: boolean) => boolean;

/** The references of a run, for targets that need them. */
export interface ReferenceRule {
  /** Number of references per sample, including its own; "all"; or a function that chooses them. */
  readonly references: number | "all" | DrawReferences;
  /**
   * References have the class of their sample, without which a class-conditional denoiser is biased. A class with fewer
   * items uses all it has. Ignored for a function. False when left out.
   */
  readonly sameClass?: boolean;
  /**
   * How references are transformed: like their sample, or, as published and biased, each independently, whatever its
   * class. "consistent" when left out.
   */
  readonly referenceAugmentation?: "consistent" | "independent";
  /** Largest number of references for a sample whose transform is not a flip, including its own. 128 when left out. */
  readonly warpedReferences?: number;
  /** The samples whose targets are computed; for others the source is the target. All when left out. */
  readonly isNeeded?: IsNeeded | undefined;
  /**
   * Several processes divide the references among them: a number of references is that of each, and their references are one set. False
   * when left out.
   */
  readonly isDivided?: boolean;
}

/** The items of each class, ascending. */
export type ClassMembers = ReadonlyMap<number, Int32Array>;

/** Cached by labels, because every step needs it. */
const sorted = new WeakMap<Int32Array, ClassMembers>();

/** Sorts items by class. `labels` holds the class of each item, and must not change afterwards. */
export function classMembers(labels: Int32Array): ClassMembers {
  const known = sorted.get(labels);
  if (known) return known;
  const members = [...positionsOf(labels)].sort(([a], [b]) => a - b);
  const classes = new Map(members.map(([label, items]) => [label, Int32Array.from(items)]));
  sorted.set(labels, classes);
  return classes;
}

/**
 * Draws the references of one step. All samples of the step must be among `sources`, because the draw depends on them.
 *
 * @param sources - indices into the bank, `[B]`
 * @throws RangeError for references by class without labels, and for a function that leaves out a source
 */
export function drawReferences(
  bank: Bank,
  sources: Int32Array,
  { references, sameClass = false }: Pick<ReferenceRule, "references" | "sameClass">,
  random: KeyedRandom,
): References {
  if (typeof references === "function") {
    const chosen = references(bank, sources, random);
    return bySource(sources, (source) => containing(source, chosen(source)));
  }
  const pools = drawPools(bank, sources, { references, sameClass }, random);
  const sets = new Map<Pool, ReferenceSet>();
  return (source) => {
    const pool = pools(source);
    const set = sets.get(pool) ?? { bank, ...pool };
    sets.set(pool, set);
    return set;
  };
}

/** The same without a bank that has the items: the pools of the samples, by their sources. */
export function drawPools(
  items: Items,
  sources: Int32Array,
  { references, sameClass }: { readonly references: number | "all"; readonly sameClass: boolean },
  random: KeyedRandom,
): (source: number) => Pool {
  if (sameClass) return drawByClass(items, sources, references, random);
  const shared: Pool =
    references === "all"
      ? { pool: "all" }
      : { pool: drawPool(sources, Math.max(references, sources.length), items.count, random), references };
  return () => shared;
}

/** How many references a warped sample has, if others have so many. */
export const warpedCount = (references: number | "all", most: number = WARPED_REFERENCES): number =>
  references === "all" ? most : Math.min(references, most);

/** The same for warped samples: fewer, because each must be warped. */
export function drawWarpedReferences(
  bank: Bank,
  sources: Int32Array,
  { references, sameClass = false, warpedReferences: most = WARPED_REFERENCES }: ReferenceRule,
  random: KeyedRandom,
): References {
  if (typeof references === "number" || references === "all") {
    return drawReferences(bank, sources, { references: warpedCount(references, most), sameClass }, random);
  }
  const drawn = drawReferences(bank, sources, { references }, random);
  const thinned = new Map(Array.from(new Set(Array.from(sources, drawn)), (set) => [set, thin(set, most, random)]));
  return (source) => thinned.get(drawn(source)) as ReferenceSet;
}

function drawByClass(
  { labels, name }: Items,
  sources: Int32Array,
  references: number | "all",
  random: KeyedRandom,
): (source: number) => Pool {
  if (!labels) throw new RangeError(`references by class need labels; ${name} has none`);
  const pools = new Map<number, Pool>();
  for (const [label, members] of classMembers(labels)) {
    const own = sources.filter((source) => labels[source] === label);
    if (own.length === 0) continue;
    const size = references === "all" ? members.length : Math.min(references, members.length);
    const pool = size === members.length ? members : drawPool(own, Math.max(size, own.length), members, random);
    pools.set(label, { pool, references: size });
  }
  return bySource(sources, (source) => pools.get(labels[source] as number) as Pool);
}

/** Calls the function once per source. */
function bySource<T>(sources: Int32Array, setOf: (source: number) => T): (source: number) => T {
  const sets = new Map(Array.from(new Set(sources), (source) => [source, setOf(source)]));
  return (source) => {
    const found = sets.get(source);
    if (found) return found;
    throw new RangeError(`references were drawn for other sources; item ${source} is not among them`);
  };
}

function containing(source: number, set: ReferenceSet): ReferenceSet {
  if (set.pool === "all" || set.pool.includes(source)) return set;
  throw new RangeError(`a source must be one of its references; item ${source} is not`);
}

/** A smaller set: each source with a uniform draw of the others. */
function thin(set: ReferenceSet, most: number, random: KeyedRandom): ReferenceSet {
  const { bank, pool, references, logWeights } = set;
  const length = pool === "all" ? bank.count : pool.length;
  if (Math.min(references ?? length, length) <= most) return set;
  if (references !== undefined && references < length) return { ...set, references: most };
  const order = random.permutation(length);
  return {
    bank,
    pool: pool === "all" ? order : order.map((position) => pool[position] as number),
    references: most,
    logWeights: logWeights && Float64Array.from(order, (position) => logWeights[position] as number),
  };
}

/** The references of one sample as a list, its own source first. */
export interface Members {
  readonly items: Int32Array;
  /** Log-weights relative to the source's. */
  readonly logWeights: Float64Array | undefined;
}

/** @throws RangeError when the source is not in the pool. */
export function membersFor(source: number, { bank, ...set }: Pool & { readonly bank: Pick<Items, "count"> }): Members {
  const { pool, references, logWeights } = set;
  const length = pool === "all" ? bank.count : pool.length;
  const own = pool === "all" ? source : pool.indexOf(source);
  if (own < 0) throw new RangeError(`a source must be one of its references; item ${source} is not`);
  const positions = Int32Array.from({ length: Math.min(references ?? length, length) }, (_, k) => (own + k) % length);
  const relative = (position: number): number => (logWeights?.[position] as number) - (logWeights?.[own] as number);
  return {
    items: pool === "all" ? positions : positions.map((position) => pool[position] as number),
    logWeights: logWeights && Float64Array.from(positions, relative),
  };
}

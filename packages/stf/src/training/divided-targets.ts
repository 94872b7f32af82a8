/**
 * The targets of a step whose references several processes divide. All of them draw the same pools. Each computes, for all samples of the
 * step, the weighted mean over those references that it has; combined, these are the means over the whole pools, as in
 * `targets/stable-field.ts`.
 *
 * Warped samples have so few references that dividing them is not worthwhile: each process computes the targets of its own.
 */

import { cat, keep, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { drawAugmentation } from "../augmentation/parameters.js";
import { partOf } from "../common/ranks.js";
import type { Bank } from "../data/bank.js";
import { DividedBank, type RowRanks } from "../data/divided-bank.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { flippedLike, kindsOf } from "../targets/augmented.js";
import { bySamples, inOrder, positionsOf } from "../targets/groups.js";
import { mergedOverRanks } from "../targets/partial-mean.js";
import { drawPools, membersFor, type Pool, warpedCount } from "../targets/references.js";
import { windowMask } from "../targets/stable-field.js";
import type { PartialMean, PerturbedBatch, ReferencePart, ReferenceSet, ReferenceTarget } from "../targets/target.js";
import { warpedTarget } from "../targets/warped.js";
import { levelsOf, perturb } from "./perturb.js";
import type { StepSources, StepTargets, TargetSettings } from "./step-targets.js";

/** Samples whose targets are combined at a time. */
const SAMPLES_AT_ONCE = 256;

/** Settings of {@link dividedTargets}. */
export interface DividedSettings extends TargetSettings {
  /** The distribution of the noise levels. */
  readonly noiseLevels: NoiseLevels;
  /** The processes that divide the references. */
  readonly ranks: RowRanks;
}

/** All of the step but its images: the same in every process. */
interface Step {
  readonly items: Bank | DividedBank;
  readonly target: ReferenceTarget & Required<Pick<ReferenceTarget, "ofPart">>;
  readonly settings: DividedSettings;
  /** Global numbers of the samples, `[B]`. */
  readonly samples: readonly number[];
  /** Their sources among all items, `[B]`. */
  readonly indices: Int32Array;
  readonly augmentation: PerturbedBatch["augmentation"];
  readonly sources: StepSources;
}

/** @throws RangeError for what several processes cannot divide */
function checkDivisible(
  items: Step["items"],
  { target, augmentation, references, referenceAugmentation }: DividedSettings,
): Step["target"] {
  if (!target.needsReferences || target.ofPart === undefined) {
    throw new RangeError(
      "references can be divided if the target is a weighted mean of them, which this target is not",
    );
  }
  if (typeof references === "function") {
    throw new RangeError('references that a function chooses cannot be divided; give a number, or "all"');
  }
  if (augmentation && referenceAugmentation === "independent") {
    throw new RangeError("references that are transformed independently cannot be divided: every step makes them anew");
  }
  if (items instanceof DividedBank && references !== "all") {
    throw new RangeError('processes that have a part of the images each need references: "all"');
  }
  return target as Step["target"];
}

/**
 * Computes the targets of this process's part of a step's samples. A collective: every process of `settings.ranks` must call it for the
 * same step.
 *
 * @param items - all items, or those of this process, of which it then is given those that its samples need
 * @param first - number of the step's first sample since the start of training
 * @param indices - items of the step's samples, `[B]`
 * @throws RangeError for a target or a rule of references that cannot be divided
 */
export function dividedTargets(
  items: Bank | DividedBank,
  settings: DividedSettings,
  first: number,
  indices: Int32Array,
): StepTargets {
  const target = checkDivisible(items, settings);
  const { seed, references = "all", sameClass = false, warpedReferences, isNeeded, ranks } = settings;
  const perSample = typeof references === "number" ? references * ranks.size : (references as "all");
  const random = new KeyedRandom(randomKey(seed, "references", first));
  const samples = Array.from(indices, (_, i) => first + i);
  const augmentation = settings.augmentation && drawAugmentation(settings.augmentation, items.shape, seed, samples);
  const pools = drawPools(items, indices, { references: perSample, sameClass }, random);
  const fewer = { references: warpedCount(perSample, warpedReferences), sameClass };
  const warpedPools = augmentation && drawPools(items, indices, fewer, random);
  const kinds = kindsOf({ indices, augmentation, sigma: levelsOf(samples, settings) }, isNeeded);
  const rowsOf = (wanted: (typeof kinds)[number]): number[] => [...kinds.keys()].filter((row) => kinds[row] === wanted);
  // The references of warped samples, by their sources; the source comes first.
  const members = new Map(
    rowsOf("warped").map((row) => {
      const source = indices[row] as number;
      return [source, membersFor(source, { bank: items, ...(warpedPools as typeof pools)(source) }).items];
    }),
  );
  const { bank, positionOf, dispose } = imagesOf(items, indices, members.values(), ranks);
  const sources = { bank, indices: indices.map(positionOf) };
  const step: Step = { items, target, settings, samples, indices, augmentation, sources };
  const own = partOf(indices.length, ranks);
  const flipped = flippedTargets(step, rowsOf("flipped"), pools, own);
  const warpedSets = new Map(
    Array.from(members, ([source, own]): [number, ReferenceSet] => [
      positionOf(source),
      { bank, pool: own.map(positionOf) },
    ]),
  );
  return {
    sources,
    targetsOf(part, offset) {
      const groups = positionsOf(kinds.slice(offset, offset + part.indices.length));
      const targetOfKind = {
        source: (some: PerturbedBatch) => some.source.detach(),
        warped: (some: PerturbedBatch) =>
          warpedTarget(target, some, (position) => warpedSets.get(position) as ReferenceSet),
      };
      return bySamples(
        part,
        Array.from(groups, ([kind, rows]) => ({
          rows,
          target: kind === "flipped" ? () => flipped.at(rows.map((row) => offset + row)) : targetOfKind[kind],
        })),
      );
    },
    [Symbol.dispose]() {
      flipped.dispose();
      dispose();
    },
  };
}

/** The images that the samples of a step need besides their references: sources, and the references of warped samples. */
function imagesOf(
  items: Bank | DividedBank,
  indices: Int32Array,
  members: Iterable<Int32Array>,
  ranks: RowRanks,
): { readonly bank: Bank; readonly positionOf: (index: number) => number; dispose(): void } {
  if (!(items instanceof DividedBank)) return { bank: items, positionOf: (index) => index, dispose() {} };
  const wanted = new Set(indices);
  for (const some of members) for (const index of some) wanted.add(index);
  const positions = new Map(Array.from(wanted, (index, position) => [index, position]));
  const bank = items.fetch(Int32Array.from(wanted), ranks);
  return {
    bank,
    positionOf: (index) => positions.get(index) as number,
    dispose: () => bank.dispose(),
  };
}

/** Targets of some samples of a step, by their rows in it. */
interface SomeTargets {
  at(rows: readonly number[]): Tensor;
  dispose(): void;
}

/**
 * The targets of samples that are flipped at most, by all processes together.
 *
 * @param rows - these samples, in all processes
 * @param own - the samples of this process, whose targets are kept
 */
function flippedTargets(
  step: Step,
  rows: readonly number[],
  pools: (source: number) => Pool,
  own: ReturnType<typeof partOf>,
): SomeTargets {
  const { items } = step;
  const { channels, height, width } = items.shape;
  const shape = [channels, height, width];
  const isOwn = (row: number): boolean => row >= own.first && row < own.end;
  const kept = rows.filter(isOwn);
  const targets = noGrad(() =>
    keep(
      scope(() => {
        const result = zeros([kept.length, ...shape], { device: items.device });
        let done = 0;
        for (let first = 0; first < rows.length; first += SAMPLES_AT_ONCE) {
          const some = rows.slice(first, first + SAMPLES_AT_ONCE);
          const mine = some.flatMap((row, place) => (isOwn(row) ? [place] : []));
          scope(() => {
            const all = targetsOf(step, some, pools).view([some.length, ...shape]);
            if (mine.length === 0) return;
            // In order, and so they are one after the other.
            result.narrow(0, done, mine.length).copy_(all.narrow(0, mine[0] as number, mine.length));
          });
          done += mine.length;
        }
        return result;
      }),
    ),
  );
  const places = new Map(kept.map((row, place) => [row, place]));
  return {
    at: (wanted) =>
      scope(() => {
        const chosen = Int32Array.from(wanted, (row) => places.get(row) as number);
        return targets.indexSelect(0, tensor(chosen, { device: items.device }));
      }),
    dispose: () => targets.dispose(),
  };
}

/** The targets of some samples, `[rows, D]`: each process adds the part of its references. */
function targetsOf(step: Step, rows: readonly number[], pools: (source: number) => Pool): Tensor {
  const { items, target, settings, samples, indices, augmentation, sources } = step;
  const { channels, height, width } = items.shape;
  const at = <T>(values: ArrayLike<T>): T[] => rows.map((row) => values[row] as T);
  const chosen = {
    indices: Int32Array.from(at(indices)),
    augmentation: augmentation && { ...augmentation, transforms: at(augmentation.transforms) },
  };
  const positions = Int32Array.from(at(sources.indices));
  const { noise, sigma } = perturb(at(samples), positions, sources.bank, { ...settings, augmentation: undefined });
  // Flipping the noise instead of the references gives the same weights.
  const flipped = flippedLike(chosen, noise);
  const groups = [...positionsOf(Array.from(chosen.indices, pools))];
  const parts = groups.map(([pool, places]): PartialMean => {
    const index = tensor(Int32Array.from(places), { device: items.device });
    const own = Int32Array.from(places, (place) => chosen.indices[place] as number);
    return target.ofPart(
      { noise: flipped.indexSelect(0, index), sigma: Float64Array.from(places, (place) => sigma[place] as number) },
      sources.bank.gather(Int32Array.from(places, (place) => positions[place] as number)),
      partOfPool(items, own, pool, settings.ranks),
    );
  });
  const order = groups.map(([, places]) => places);
  const all = {
    mean: inOrder(
      order,
      parts.map(({ mean }) => mean),
    ),
    logWeight: cat(parts.map(({ logWeight }) => logWeight)),
  };
  const part = {
    mean: all.mean,
    logWeight: inOrder(
      order,
      parts.map(({ logWeight }) => logWeight),
    ),
  };
  const images = items.toValues(mergedOverRanks(part, settings.ranks)).view([rows.length, channels, height, width]);
  return flippedLike(chosen, images);
}

/**
 * The references of a pool that this process has: those among its items, or an equal share where it has all.
 *
 * @param sources - the samples that use the pool
 */
function partOfPool(items: Bank | DividedBank, sources: Int32Array, set: Pool, ranks: RowRanks): ReferencePart {
  const { pool } = set;
  if (items instanceof DividedBank) {
    const { own, first } = items;
    if (pool === "all") return { bank: own, pool };
    const here = pool.filter((index) => index >= first && index < first + own.count);
    return { bank: own, pool: here.map((index) => index - first) };
  }
  const share = partOf(pool === "all" ? items.count : pool.length, ranks);
  const members =
    pool === "all"
      ? Int32Array.from({ length: share.end - share.first }, (_, i) => share.first + i)
      : pool.subarray(share.first, share.end);
  return { bank: items, pool: members, logWeights: windowMask(sources, set, items.count, share) };
}

/** The targets of one step: the references that its samples share, and the effect of augmentation. */

import { keep, noGrad, scope, type Tensor } from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { drawAugmentation, drawTransform } from "../augmentation/parameters.js";
import type { AugmentationSettings } from "../augmentation/settings.js";
import type { Bank } from "../data/bank.js";
import { drawPool } from "../data/order.js";
import { VectorBank } from "../data/vector-bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { augmentedTarget } from "../targets/augmented.js";
import { drawReferences, drawWarpedReferences, type IsNeeded, type ReferenceRule } from "../targets/references.js";
import type { PerturbedBatch, ReferenceSet, ReferenceTarget, Target } from "../targets/target.js";

/** The settings that determine the targets of a run. The reference settings are for targets that need references. */
export interface TargetSettings extends Partial<ReferenceRule> {
  /** Seed of all random numbers of the run. */
  readonly seed: number;
  /** The target of the denoiser. */
  readonly target: Target;
  /** Augmentation of the sources; none when left out. */
  readonly augmentation?: AugmentationSettings | undefined;
}

/** The sources of one step. */
export interface StepSources {
  /** A bank that has them. */
  readonly bank: Bank;
  /** Their indices in it, `[B]`. */
  readonly indices: Int32Array;
}

/** The targets of one step. */
export interface StepTargets extends Disposable {
  /** The images that its samples are made from. */
  readonly sources: StepSources;
  /** The targets of some of its samples, starting at number `offset` of the step. */
  targetsOf(part: PerturbedBatch, offset: number): Tensor;
  /** Frees the tensors shared by the samples of the step. */
  [Symbol.dispose](): void;
}

const nothing = (): void => {};

/**
 * Draws the references of a step, if its target needs them.
 *
 * @param first - number of the step's first sample since the start of training
 * @param indices - items of the step's samples, `[B]`
 * @throws RangeError for a target that needs references without a rule for them, and for references that are transformed
 * independently but share a class or are not counted
 */
export function stepTargets(bank: Bank, settings: TargetSettings, first: number, indices: Int32Array): StepTargets {
  const { seed, target, augmentation, references, isNeeded } = settings;
  const sources = { bank, indices };
  if (!target.needsReferences) return { sources, targetsOf: (part) => target.of(part), [Symbol.dispose]: nothing };
  if (references === undefined) {
    throw new RangeError(
      'a target that needs references requires the setting references, found none; set references: "all", for example',
    );
  }
  const rule: ReferenceRule = { ...settings, references };
  const random = new KeyedRandom(randomKey(seed, "references", first));
  if (augmentation && rule.referenceAugmentation === "independent") {
    const samples = Array.from(indices, (_, i) => first + i);
    return independentTargets(bank, target, rule, { indices, samples, seed, augmentation, random });
  }
  const plain = drawReferences(bank, indices, rule, random);
  const warped = augmentation ? drawWarpedReferences(bank, indices, rule, random) : plain;
  return {
    sources,
    targetsOf: (part) => augmentedTarget(target, part, { plain, warped }, isNeeded),
    [Symbol.dispose]: nothing,
  };
}

/** The transformed samples of a step. */
interface AugmentedStep {
  readonly indices: Int32Array;
  /** Their numbers since the start of training. */
  readonly samples: readonly number[];
  readonly seed: number;
  readonly augmentation: AugmentationSettings;
  readonly random: KeyedRandom;
}

/**
 * The published behaviour: the transformed sources of the whole step and other images, each transformed independently, are
 * the references of every sample, regardless of its transform.
 */
function independentTargets(
  bank: Bank,
  target: ReferenceTarget,
  { references, sameClass = false, isNeeded = () => true }: ReferenceRule,
  { indices, samples, seed, augmentation, random }: AugmentedStep,
): StepTargets {
  if (sameClass || typeof references !== "number") {
    throw new RangeError("references that are transformed independently cannot be chosen by class, and need a number");
  }
  // The sources come first; one that occurs twice, at the end of an epoch, is used once.
  const pool = drawPool(indices, Math.max(references, indices.length), bank.count, random);
  const different = new Set(indices).size;
  const others = pool.subarray(different, different + Math.max(references - indices.length, 0));
  const { shape, dimension } = bank;
  const { channels, height, width } = shape;
  const sources = drawAugmentation(augmentation, shape, seed, samples);
  const transforms = Array.from(others, () => drawTransform(random, augmentation, shape));
  const items = Int32Array.from([...indices, ...others]);
  const values = noGrad(() =>
    keep(
      scope(() => {
        const images = bank.toValues(bank.gather(items)).view([items.length, channels, height, width]);
        const all = { ...sources, transforms: [...sources.transforms, ...transforms] };
        return applyAugmentation(images, all).double().view([items.length, dimension]);
      }),
    ),
  );
  const shared = new VectorBank(bank.name, values, { shape });
  // Items of the shared bank are identified by their positions in it.
  const positions = Int32Array.from({ length: shared.count }, (_, position) => position);
  const set: ReferenceSet = { bank: shared, pool: positions, references };
  return {
    sources: { bank, indices },
    targetsOf(part, offset) {
      // The references, unchanged, are the sources of the samples with the same positions.
      const moved = { ...part, indices: part.indices.map((_, i) => offset + i), augmentation: undefined };
      const needed: IsNeeded = (position, sigma) => isNeeded(part.indices[position - offset] as number, sigma, false);
      return augmentedTarget(target, moved, { plain: () => set, warped: () => set }, needed);
    },
    [Symbol.dispose]: () => shared.dispose(),
  };
}

/** The targets of one step: which references its samples share, and how augmentation enters. */

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

/** What decides the targets of a run. The rule of references is for targets that need them, and they need `references`. */
export interface TargetSettings extends Partial<ReferenceRule> {
  /** Of every random number of the run. */
  readonly seed: number;
  /** What the denoiser should return. */
  readonly target: Target;
  /** How sources are transformed; not at all when left out. */
  readonly augmentation?: AugmentationSettings | undefined;
}

/** The targets of one step. */
export interface StepTargets extends Disposable {
  /** The targets of some of its samples, which begin at number `offset` of the step. */
  targetsOf(part: PerturbedBatch, offset: number): Tensor;
  /** Frees what the samples of the step shared. */
  [Symbol.dispose](): void;
}

const nothing = (): void => {};

/**
 * Draws the references of a step, where its target needs them.
 *
 * @param first - number of the step's first sample since the start of training
 * @param indices - items of the step's samples, `[B]`
 * @throws RangeError for a target that needs references without a rule for them, and for references that are transformed
 * independently but share a class or are not counted
 */
export function stepTargets(bank: Bank, settings: TargetSettings, first: number, indices: Int32Array): StepTargets {
  const { seed, target, augmentation, references, isNeeded } = settings;
  if (!target.needsReferences) return { targetsOf: (part) => target.of(part), [Symbol.dispose]: nothing };
  if (references === undefined) {
    throw new RangeError('a target that needs references must be told which, found none; give references: "all", say');
  }
  const rule: ReferenceRule = { ...settings, references };
  const random = new KeyedRandom(randomKey(seed, "references", first));
  if (augmentation && rule.referenceAugmentation === "independent") {
    const samples = Array.from(indices, (_, i) => first + i);
    return independentTargets(bank, target, rule, { indices, samples, seed, augmentation, random });
  }
  const plain = drawReferences(bank, indices, rule, random);
  const warped = augmentation ? drawWarpedReferences(bank, indices, rule, random) : plain;
  return { targetsOf: (part) => augmentedTarget(target, part, { plain, warped }, isNeeded), [Symbol.dispose]: nothing };
}

/** The samples of a step that are transformed. */
interface AugmentedStep {
  readonly indices: Int32Array;
  /** Their numbers since the start of training. */
  readonly samples: readonly number[];
  readonly seed: number;
  readonly augmentation: AugmentationSettings;
  readonly random: KeyedRandom;
}

/**
 * The published behaviour: the transformed sources of the whole step and other images, each transformed in its own way, are
 * the references of every sample, whatever its transform.
 */
function independentTargets(
  bank: Bank,
  target: ReferenceTarget,
  { references, sameClass = false, isNeeded = () => true }: ReferenceRule,
  { indices, samples, seed, augmentation, random }: AugmentedStep,
): StepTargets {
  if (sameClass || typeof references !== "number") {
    throw new RangeError("references that are transformed independently know no classes, and must be counted");
  }
  // The sources come first; one that occurs twice, where an epoch ends, comes once.
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
  // Items of the shared bank are known by their positions in it.
  const positions = Int32Array.from({ length: shared.count }, (_, position) => position);
  const set: ReferenceSet = { bank: shared, pool: positions, references };
  return {
    targetsOf(part, offset) {
      // The references are sources, as they are, of the samples with the same positions.
      const moved = { ...part, indices: part.indices.map((_, i) => offset + i), augmentation: undefined };
      const needed: IsNeeded = (position, sigma) => isNeeded(part.indices[position - offset] as number, sigma, false);
      return augmentedTarget(target, moved, { plain: () => set, warped: () => set }, needed);
    },
    [Symbol.dispose]: () => shared.dispose(),
  };
}

/** The targets of one step: which references its samples share, and how augmentation enters. */

import { keep, noGrad, scope, type Tensor } from "@stf/torch";
import { applyAugmentation } from "../augmentation/apply.js";
import { drawAugmentation, drawTransform } from "../augmentation/parameters.js";
import type { AugmentationSettings } from "../augmentation/settings.js";
import type { Bank } from "../data/bank.js";
import { drawPool } from "../data/order.js";
import { VectorBank } from "../data/vector-bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { augmentedTarget, type IsNeeded } from "../targets/augmented.js";
import { type ClassMembers, drawReferences } from "../targets/references.js";
import type { PerturbedBatch, ReferenceSet, Target } from "../targets/target.js";

/** What decides the targets of a run. */
export interface TargetSettings {
  /** Of every random number of the run. */
  readonly seed: number;
  /** What the denoiser should return for a sample without a transform. */
  readonly target: Target;
  /** References of a sample, itself included, or the whole data set. With 1 the target is the sample's own source. */
  readonly references: number | "all";
  /** Where targets are computed; elsewhere the source is the target. Everywhere when left out. */
  readonly isNeeded?: IsNeeded | undefined;
  /** How sources are transformed; not at all when left out. */
  readonly augmentation?: AugmentationSettings | undefined;
  /**
   * How references are transformed: as their sample, or, as published and biased, each in a way of its own, whatever its
   * class. "consistent" when left out.
   */
  readonly referenceAugmentation?: "consistent" | "independent";
  /** References of a sample with a transform that is no flip, itself included. 128 when left out. */
  readonly warpedReferences?: number;
}

/** The bank, and the items of each class where references share the class of their sample. */
export interface ReferenceData {
  /** The data set. */
  readonly bank: Bank;
  /** Given, references share the class of their sample; otherwise they come from the whole bank. */
  readonly classes?: ClassMembers | undefined;
}

/** The targets of one step. */
export interface StepTargets extends Disposable {
  /** The targets of some of its samples, which begin at number `offset` of the step. */
  targetsOf(part: PerturbedBatch, offset: number): Tensor;
  /** Frees what the samples of the step shared. */
  [Symbol.dispose](): void;
}

const DEFAULT_WARPED_REFERENCES = 128;

const nothing = (): void => {};

/**
 * Draws the references of a step.
 *
 * @throws RangeError for independent transforms together with classes, or with all references
 * @param first - number of the step's first sample since the start of training
 * @param indices - items of the step's samples, `[B]`
 */
export function stepTargets(
  data: ReferenceData,
  settings: TargetSettings,
  first: number,
  indices: Int32Array,
): StepTargets {
  const { augmentation, references, referenceAugmentation = "consistent" } = settings;
  if (references === 1) return { targetsOf: ({ source }) => source.detach(), [Symbol.dispose]: nothing };
  if (augmentation && referenceAugmentation === "independent") {
    if (data.classes || references === "all") {
      throw new RangeError("references that are transformed independently know no classes, and must be counted");
    }
    return independentTargets(data.bank, { ...settings, references }, augmentation, first, indices);
  }
  const random = new KeyedRandom(randomKey(settings.seed, "references", first));
  const { bank, classes } = data;
  const plain = drawReferences(bank, indices, { count: references, classes }, random);
  const most = settings.warpedReferences ?? DEFAULT_WARPED_REFERENCES;
  const count = references === "all" ? most : Math.min(references, most);
  const warped = augmentation ? drawReferences(bank, indices, { count, classes }, random) : plain;
  const { target, isNeeded } = settings;
  return { targetsOf: (part) => augmentedTarget(target, part, { plain, warped }, isNeeded), [Symbol.dispose]: nothing };
}

/**
 * The published behaviour: the transformed sources of the whole step and other images, each transformed in its own way, are
 * the references of every sample, whatever its transform.
 */
function independentTargets(
  bank: Bank,
  { seed, target, references, isNeeded = () => true }: TargetSettings & { readonly references: number },
  augmentation: AugmentationSettings,
  first: number,
  indices: Int32Array,
): StepTargets {
  const random = new KeyedRandom(randomKey(seed, "references", first));
  // The sources come first; one that occurs twice, where an epoch ends, comes once.
  const pool = drawPool(indices, Math.max(references, indices.length), bank.count, random);
  const different = new Set(indices).size;
  const others = pool.subarray(different, different + Math.max(references - indices.length, 0));
  const { shape, dimension } = bank;
  const { channels, height, width } = shape;
  const samples = Array.from(indices, (_, i) => first + i);
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
  const set: ReferenceSet = { bank: shared, pool: positions, size: Math.min(references, shared.count) };
  return {
    targetsOf(part, offset) {
      // The references are sources, as they are, of the samples with the same positions.
      const indices = part.indices.map((_, i) => offset + i);
      const moved = { ...part, indices, augmentation: undefined };
      const needed: IsNeeded = (position, sigma) => isNeeded(part.indices[position - offset] as number, sigma, false);
      return augmentedTarget(target, moved, { plain: () => set, warped: () => set }, needed);
    },
    [Symbol.dispose]: () => shared.dispose(),
  };
}

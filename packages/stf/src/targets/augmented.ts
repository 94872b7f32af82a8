/**
 * The stable target of augmented samples. A network that is told how its input was transformed must regress on the posterior
 * mean over references that went through the same transform, or it is biased: the weights would ignore what it knows.
 *
 * Flips are orthogonal, so ||T y + sigma eps - T r|| = ||y + sigma T eps - r||: flipping the noise instead of the references
 * gives the same weights, and the flipped mean is the target, to the last bit of every reference. For other transforms a
 * smaller number of references is put through the sample's own transform, as differences to the source.
 */

import { cat, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { flipsOf, isFlipOnly, transformDifferences } from "../augmentation/apply.js";
import type { Bank } from "../data/bank.js";
import {
  bySamples,
  inOrder,
  membersFor,
  positionsOf,
  type References,
  type SampleGroup,
  targetFrom,
} from "./references.js";
import type { PerturbedBatch, ReferenceSet, Target } from "./target.js";

/** The references of a step, for the two kinds of samples. */
export interface StepReferences {
  /** For samples whose transform is a flip, or nothing. */
  readonly plain: References;
  /** For samples with any other transform; listed sets, not "all". */
  readonly warped: References;
}

/** Whether a sample's posterior may hold more than its source. It must not look at the noise. */
export type IsNeeded = (source: number, sigma: number, warped: boolean) => boolean;

/**
 * The stable target of every sample, against references that share its transform, float32 `[B, C, H, W]`. Samples for which
 * `isNeeded` is false get their source.
 *
 * @param target - computes the targets of samples without a transform
 */
export function augmentedTarget(
  target: Target,
  batch: PerturbedBatch,
  { plain, warped }: StepReferences,
  isNeeded: IsNeeded = () => true,
): Tensor {
  const { augmentation, indices, sigma } = batch;
  const targets = {
    source: (part: PerturbedBatch) => part.source.detach(),
    flipped: (part: PerturbedBatch) => flippedTarget(target, part, plain),
    warped: (part: PerturbedBatch) => warpedTarget(part, warped),
  };
  const kinds = Array.from(indices, (source, row): keyof typeof targets => {
    const isWarped = augmentation !== undefined && !isFlipOnly(augmentation, row);
    if (!isNeeded(source, sigma[row] as number, isWarped)) return "source";
    return isWarped ? "warped" : "flipped";
  });
  return bySamples(
    batch,
    Array.from(positionsOf(kinds), ([kind, rows]) => ({ rows, target: targets[kind] })),
  );
}

/** The axes of `[B, C, H, W]` along which an image is reversed: none, the width, the height, or both. */
const flippedAxes = [[], [3], [2], [2, 3]];

/** Which of these each image was, `[B]`. */
function flipChoices({ augmentation, indices }: PerturbedBatch): number[] {
  return Array.from(indices, (_, row) => {
    if (!augmentation) return 0;
    const { horizontal, vertical } = flipsOf(augmentation, row);
    return 2 * Number(vertical) + Number(horizontal);
  });
}

/** Flips each image as its choice says; doing it twice gives the images back. */
function flipEach(images: Tensor, choices: readonly number[]): Tensor {
  return scope(() => {
    const groups = [...positionsOf(choices)];
    const parts = groups.map(([choice, rows]) => {
      const chosen = images.indexSelect(0, tensor(Int32Array.from(rows), { device: images.device }));
      return choice === 0 ? chosen : chosen.flip(flippedAxes[choice] as number[]);
    });
    return inOrder(
      groups.map(([, rows]) => rows),
      parts,
    );
  });
}

function flippedTarget(target: Target, batch: PerturbedBatch, references: References): Tensor {
  const choices = flipChoices(batch);
  if (choices.every((choice) => choice === 0)) return targetFrom(target, batch, references);
  return scope(() => {
    const flip = (images: Tensor): Tensor => flipEach(images, choices);
    const unflipped: PerturbedBatch = {
      ...batch,
      source: flip(batch.source),
      noise: flip(batch.noise),
      perturbed: flip(batch.perturbed),
      augmentation: undefined,
    };
    return flip(targetFrom(target, unflipped, references));
  });
}

/** Values of transformed references that are held at one time. */
const VALUES_AT_ONCE = 2 ** 22;

function warpedTarget(batch: PerturbedBatch, references: References): Tensor {
  const sets = Array.from(batch.indices, references);
  // The source itself is known: its log-weight is 0, and it adds nothing to the difference.
  const others = Array.from(batch.indices, (source, row) => membersFor(source, sets[row] as ReferenceSet).subarray(1));
  const groups: SampleGroup[] = [];
  for (const [count, rows] of positionsOf(others.map(({ length }) => length))) {
    const { bank } = sets[rows[0] as number] as ReferenceSet;
    const together = Math.max(1, Math.floor(VALUES_AT_ONCE / Math.max(1, count * bank.dimension)));
    for (let first = 0; first < rows.length; first += together) {
      const some = rows.slice(first, first + together);
      const items = some.map((row) => others[row] as Int32Array);
      groups.push({ rows: some, target: (part) => meansOfTransformed(part, bank, items) });
    }
  }
  return noGrad(() => bySamples(batch, groups));
}

/** Items in the bank's own units, in a dtype that differences can be taken in without rounding; a new tensor. */
function signedRows(bank: Bank, indices: Int32Array): Tensor {
  const rows = bank.gather(indices);
  return rows.dtype === "uint8" ? rows.float() : rows;
}

/**
 * The posterior means of samples over their sources and other items, equally many for each, that go through the sample's own
 * transform. Only differences to the source are transformed. In whole grey levels they are exact, and so what float32 rounds of
 * their transforms is relative to the distance, for near-duplicates too.
 */
function meansOfTransformed(batch: PerturbedBatch, bank: Bank, others: readonly Int32Array[]): Tensor {
  const { indices, source, noise, sigma, augmentation } = batch;
  const [samples, count] = [others.length, others[0]?.length ?? 0];
  if (count === 0 || !augmentation) return source.detach();
  return scope(() => {
    const shape = [samples, count, bank.dimension];
    const sources = signedRows(bank, indices).unsqueeze(1);
    const exact = signedRows(bank, Int32Array.from(others.flatMap((items) => [...items]))).view(shape);
    const images = exact
      .sub_(sources)
      .div_(bank.unit)
      .view([samples, count, ...source.shape.slice(1)]);
    const differences = transformDifferences(images, augmentation).view(shape);
    const column = (value: (level: number) => number): Tensor =>
      tensor(Float64Array.from(sigma, value), { shape: [samples, 1], device: source.device });
    const squares = differences.square().sum(2).double();
    const alongNoise = differences
      .mul(noise.reshape([samples, 1, bank.dimension]))
      .sum(2)
      .double();
    const logits = alongNoise.mul(column((level) => 1 / level)).sub(squares.mul(column((level) => 0.5 / level ** 2)));
    const weights = cat([logits, zeros([samples, 1], { dtype: "float64", device: logits.device })], 1)
      .softmax(1)
      .narrow(1, 0, count);
    const shift = weights.to({ dtype: differences.dtype }).unsqueeze(1).bmm(differences);
    return source.add(shift.view(source.shape)).float();
  });
}

/**
 * The targets of augmented samples. A network that is conditioned on the transform of its input must regress on the posterior mean
 * over references with the same transform; otherwise the weights ignore the conditioning, and the target is biased.
 *
 * Flips are orthogonal, so ||T y + sigma eps - T r|| = ||y + sigma T eps - r||: flipping the noise instead of the references
 * gives the same weights, and the flipped mean is the target, to the last bit of every reference. For other transforms, the
 * sample's transform is applied to a smaller number of references: see warped.ts.
 */

import { scope, type Tensor, tensor } from "@stf/torch";
import { flipsOf, isFlipOnly } from "../augmentation/apply.js";
import { bySamples, inOrder, positionsOf } from "./groups.js";
import type { IsNeeded, References } from "./references.js";
import type { PerturbedBatch, ReferenceTarget } from "./target.js";
import { warpedTarget } from "./warped.js";

/** The references of a step, for the two kinds of samples. */
export interface StepReferences {
  /** For samples whose transform is a flip or the identity. */
  readonly plain: References;
  /** For samples with any other transform. */
  readonly warped: References;
}

/** The target of every sample against its own references, float32 `[B, C, H, W]`. */
export function targetFrom(target: ReferenceTarget, batch: PerturbedBatch, references: References): Tensor {
  const groups = positionsOf(Array.from(batch.indices, references));
  return bySamples(
    batch,
    Array.from(groups, ([set, rows]) => ({ rows, target: (part) => target.of(part, set) })),
  );
}

/**
 * The target of every sample, against references that share its transform, float32 `[B, C, H, W]`. Samples for which
 * `isNeeded` is false get their source.
 */
export function augmentedTarget(
  target: ReferenceTarget,
  batch: PerturbedBatch,
  { plain, warped }: StepReferences,
  isNeeded: IsNeeded = () => true,
): Tensor {
  const targets: Readonly<Record<TargetKind, (part: PerturbedBatch) => Tensor>> = {
    source: (part: PerturbedBatch) => part.source.detach(),
    flipped: (part: PerturbedBatch) => flippedTarget(target, part, plain),
    warped: (part: PerturbedBatch) => warpedTarget(target, part, warped),
  };
  return bySamples(
    batch,
    Array.from(positionsOf(kindsOf(batch, isNeeded)), ([kind, rows]) => ({ rows, target: targets[kind] })),
  );
}

/** How the target of a sample is found: it is the source, or a mean over references that are flipped at most, or warped. */
export type TargetKind = "source" | "flipped" | "warped";

/** The kind of each sample, `[B]`. */
export function kindsOf(
  { augmentation, indices, sigma }: Pick<PerturbedBatch, "augmentation" | "indices" | "sigma">,
  isNeeded: IsNeeded = () => true,
): TargetKind[] {
  return Array.from(indices, (source, row) => {
    const isWarped = augmentation !== undefined && !isFlipOnly(augmentation, row);
    if (!isNeeded(source, sigma[row] as number, isWarped)) return "source";
    return isWarped ? "warped" : "flipped";
  });
}

/** The axes of `[B, C, H, W]` along which an image is reversed: none, the width, the height, or both. */
const flippedAxes = [[], [3], [2], [2, 3]];

/** Which of these each image was, `[B]`. */
function flipChoices({ augmentation, indices }: Pick<PerturbedBatch, "augmentation" | "indices">): number[] {
  return Array.from(indices, (_, row) => {
    if (!augmentation) return 0;
    const { horizontal, vertical } = flipsOf(augmentation, row);
    return 2 * Number(vertical) + Number(horizontal);
  });
}

/** The images, flipped as those of the samples were. Doing it twice gives the images back. */
export function flippedLike(batch: Pick<PerturbedBatch, "augmentation" | "indices">, images: Tensor): Tensor {
  const choices = flipChoices(batch);
  return choices.every((choice) => choice === 0) ? images : flipEach(images, choices);
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

function flippedTarget(target: ReferenceTarget, batch: PerturbedBatch, references: References): Tensor {
  const choices = flipChoices(batch);
  if (choices.every((choice) => choice === 0)) return targetFrom(target, batch, references);
  return scope(() => {
    const flip = (images: Tensor): Tensor => flipEach(images, choices);
    const { source, noise } = batch;
    const unflipped = { ...batch, source: flip(source), noise: flip(noise), augmentation: undefined };
    return flip(targetFrom(target, unflipped, references));
  });
}

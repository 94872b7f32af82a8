/**
 * The stable target of augmented samples. A network that is told how its input was transformed must regress on the posterior
 * mean over references that went through the same transform, or it is biased: the weights would ignore what it knows.
 *
 * Flips are orthogonal, so ||T y + sigma eps - T r|| = ||y + sigma T eps - r||: flipping the noise instead of the references
 * gives the same weights, and the flipped mean is the target, to the last bit of every reference. For other transforms a
 * smaller number of references is put through the sample's own transform.
 */

import { cat, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { flipsOf, isFlipOnly, transformWith } from "../augmentation/apply.js";
import { bySamples, inOrder, membersFor, positionsOf, type References, targetFrom } from "./references.js";
import { type PerturbedBatch, type ReferenceSet, selectSamples, type Target } from "./target.js";

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

function warpedTarget(batch: PerturbedBatch, references: References): Tensor {
  return noGrad(() =>
    scope(() =>
      cat(
        Array.from(batch.indices, (source, row) =>
          scope(() => meanOfTransformed(selectSamples(batch, [row]), references(source))),
        ),
      ),
    ),
  );
}

/** The posterior mean of one sample over references that go through its own transform, `[1, C, H, W]`. */
function meanOfTransformed({ indices, source, noise, sigma, augmentation }: PerturbedBatch, set: ReferenceSet): Tensor {
  // The source itself is known: its log-weight is 0, and it adds nothing to the difference.
  const others = membersFor(indices[0] as number, set).subarray(1);
  if (others.length === 0 || !augmentation) return source.detach();
  const { bank } = set;
  const level = sigma[0] as number;
  const images = bank.toValues(bank.gather(others)).view([others.length, ...source.shape.slice(1)]);
  // In float64: transformed images are on no grid on which float32 products would be exact.
  const differences = transformWith(images, augmentation, 0).double().sub(source.double()).view([others.length, -1]);
  const squares = differences.square().sum(1);
  const alongNoise = differences.mv(noise.double().flatten());
  const logits = alongNoise.mul(1 / level).sub(squares.mul(0.5 / level ** 2));
  const weights = cat([logits, zeros([1], { dtype: "float64", device: logits.device })])
    .softmax(0)
    .narrow(0, 0, others.length);
  const shift = weights.unsqueeze(0).mm(differences).view(source.shape);
  return source.double().add(shift).float();
}

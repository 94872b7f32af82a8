/**
 * How far a denoiser is from the clean images, and how far from the best that any denoiser can do on these data. Per value,
 *
 *     E ||D(x) - y||² = E ||D(x) - D*(x)||² + E tr Cov(y | x),
 *
 * loss = excess + floor, with D* the posterior mean over the data set. The excess is what a denoiser can still gain. It is measured
 * directly: the difference of two estimates of the other terms would mostly be noise.
 */

import { noGrad, scope, type Tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import type { Denoiser } from "../networks/denoiser.js";
import { oneHot } from "../networks/network.js";
import { augmentedTarget } from "../targets/augmented.js";
import { bySamples, positionsOf } from "../targets/groups.js";
import { classMembers } from "../targets/references.js";
import { stableFieldTarget } from "../targets/stable-field.js";
import { type PerturbedBatch, perturbedImages, type ReferenceSet } from "../targets/target.js";

/** The squared errors of a denoiser on B samples, per value and unweighted, in squared units of the network's input. */
export interface DenoisingErrors {
  /** ||D(x; sigma) - y||² / D of each sample, `[B]`. */
  readonly loss: Float64Array;
  /** ||D(x; sigma) - D*(x; sigma)||² / D of each sample, `[B]`; undefined without exact targets. */
  readonly excess: Float64Array | undefined;
}

/** Mean over the values of each image of the squared difference, `[B]`. The sums are float64. */
function meanSquares(left: Tensor, right: Tensor): Float64Array {
  return scope(() => left.sub(right).flatten(1).double().square_().mean(1).toFloat64Array());
}

/**
 * The errors of a denoiser as it draws images: in evaluation mode, whatever mode it is in, without gradients, and conditioned on the
 * class of each sample, if the network has classes. Its samples must not be augmented: the network is told so.
 *
 * @param exact - D*(x; sigma), `[B, C, H, W]`, such as those of {@link exactTargets}
 * @throws RangeError for augmented samples, and for a class that the network does not have
 */
export function denoisingErrors(denoiser: Denoiser, batch: PerturbedBatch, exact?: Tensor): DenoisingErrors {
  const { source, sigma, classes, augmentation } = batch;
  if (augmentation) throw new RangeError("denoising errors are those of images without augmentation");
  const { training, labelDim } = denoiser;
  denoiser.eval();
  try {
    return noGrad(() =>
      scope(() => {
        const labels = classes && labelDim > 0 ? oneHot(classes, labelDim, source) : undefined;
        const output = denoiser.forward(perturbedImages(batch), sigma, { labels });
        return { loss: meanSquares(output, source), excess: exact && meanSquares(output, exact) };
      }),
    );
  } finally {
    denoiser.train(training);
  }
}

/** Options of {@link exactTargets}. */
export interface ExactTargetOptions {
  /**
   * Whether each sample's posterior is over the images of its class, as the denoiser of a class-conditional network; a sample without
   * its label, of a negative class, gets the whole bank. False when left out.
   */
  readonly sameClass?: boolean;
}

/**
 * The exact denoiser of a data set, D*(x; sigma) = E[y | x]: the posterior mean over the whole bank, float32 `[B, C, H, W]`. For
 * augmented samples all images have the transform of the sample, which is costly unless it is a flip.
 *
 * @param batch - samples whose sources are in the bank
 * @throws RangeError for posteriors by class of samples without classes
 */
export function exactTargets(
  bank: Bank,
  batch: PerturbedBatch,
  { sameClass = false }: ExactTargetOptions = {},
): Tensor {
  const target = stableFieldTarget();
  const against = (part: PerturbedBatch, pool: ReferenceSet["pool"]): Tensor => {
    const references = (): ReferenceSet => set;
    const set: ReferenceSet = { bank, pool };
    return augmentedTarget(target, part, { plain: references, warped: references });
  };
  if (!sameClass) return against(batch, "all");
  const { classes } = batch;
  const { labels, name } = bank;
  if (!classes || !labels) throw new RangeError(`exact targets by class need class labels; ${name} has none`);
  const members = classMembers(labels);
  const groups = positionsOf(classes);
  return bySamples(
    batch,
    Array.from(groups, ([label, rows]) => ({
      rows,
      target: (part) => against(part, label < 0 ? "all" : (members.get(label) as Int32Array)),
    })),
  );
}

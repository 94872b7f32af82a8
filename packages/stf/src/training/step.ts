/**
 * One training step: everything between the clock's two readings. It has two halves, gradients and their application;
 * in between, gradients can be inspected, changed, or averaged over processes.
 */

import { cat, noGrad, Recomputation, scope, type Tensor, zeros } from "@stf/torch";
import { partOf } from "../common/ranks.js";
import type { Bank } from "../data/bank.js";
import { DividedBank } from "../data/divided-bank.js";
import type { DataOrder } from "../data/order.js";
import { DropoutKeys } from "../networks/network.js";
import type { NoiseLevels } from "../processes/noise-levels.js";
import { emaDecay, learningRate } from "./clock.js";
import { dividedTargets } from "./divided-targets.js";
import { addGradients, type Loss, weightedError } from "./loss.js";
import { type PerturbSettings, perturb } from "./perturb.js";
import { powerDecay, powerExponent, powerWidths } from "./power-average.js";
import type { StepRanks } from "./ranks.js";
import { countStep } from "./stability.js";
import type { TrainingState } from "./state.js";
import { type StepTargets, stepTargets, type TargetSettings } from "./step-targets.js";

/** How gradients update the weights. Amounts are in images. */
export interface UpdateSettings {
  /** Images in a step. */
  readonly batch: number;
  /** Schedule for {@link learningRate}. */
  readonly learningRate: {
    /** The rate after the ramp. */
    readonly peak: number;
    /** Images over which it rises from 0; 0 for no ramp. */
    readonly rampup: number;
  };
  /** Largest Euclidean norm of the gradient, to which a longer one is scaled; no limit when left out. */
  readonly clip?: number | undefined;
  /** Settings for {@link emaDecay}; without effect on a state with power-function averages. */
  readonly ema: {
    /** Images after which the weight of an old value has halved. */
    readonly halflife: number;
    /** Limits the halflife to this multiple of the images processed; null for no limit. */
    readonly rampupRatio: number | null;
  };
}

/** The fixed settings of training. */
export interface TrainingSettings extends TargetSettings, Omit<PerturbSettings, "noiseLevels">, UpdateSettings {
  /** The distribution of the noise levels; that of the network's preconditioning when left out. */
  readonly noiseLevels?: NoiseLevels | undefined;
  /** Largest number of samples per forward pass. */
  readonly microBatch: number;
  /** Factor on the loss, and thus on its gradients. */
  readonly lossScaling: number;
  /** The error of every value; that of the network's preconditioning, lambda(sigma) (D - target)², when left out. */
  readonly loss?: Loss | undefined;
  /** Recomputes activations in the backward pass: less memory, about a third more time. */
  readonly recompute?: boolean;
  /** The processes that share the steps, each of them with the same settings; this one alone when left out. */
  readonly ranks?: StepRanks | undefined;
}

/** The source of training samples. */
export interface TrainingData {
  /** The data set, or the part of it that one of several processes has. */
  readonly bank: Bank | DividedBank;
  /** The order in which items become samples. */
  readonly order: DataOrder;
}

/** Sums of the errors of a step, on the device that computed them: reading the tensor waits for a GPU. */
export interface StepSums {
  /** Sums of the errors and of their squares, float64 `[2]`. */
  readonly sums: Tensor;
  /** Number of errors: images of the whole step times D. */
  readonly count: number;
  /** Number of targets that look like their source alone, float64 `[1]`; undefined for targets without references. */
  readonly oneHot?: Tensor | undefined;
  /** Seconds of waiting for other processes; undefined without any. */
  readonly waited?: number | undefined;
}

/** Moments of the error of a step, lambda(sigma) (D(x; sigma) - target)² as a rule, over all values of its images. */
export interface StepLoss {
  /** Its mean. */
  readonly mean: number;
  /** The mean of its square. */
  readonly meanSquare: number;
  /** Number of values: images times D. */
  readonly count: number;
}

/** What a step did, and with which gradient. */
export interface StepResult extends StepLoss {
  /** Euclidean norm of the gradient of the loss times `lossScaling`, before it was clipped. */
  readonly gradientNorm: number;
  /** The learning rate of the step. */
  readonly learningRate: number;
  /** The share of targets that equal their source within half a grey level, as the posterior is one-hot; undefined for targets without references. */
  readonly oneHot?: number | undefined;
  /** Seconds of waiting for the other processes that share the step; undefined without any. */
  readonly waited?: number | undefined;
  /** Whether the loss or the gradient was not finite: then neither weights nor moments have changed, nor an average with a half-life. */
  readonly isSkipped: boolean;
}

/** Too many steps in a row had to be skipped, because the loss or a gradient was not finite. */
export class DivergenceError extends Error {
  override readonly name = "DivergenceError";
}

/**
 * The first half of a step: sets the flat gradients to those of its loss, the sum over pixels and the mean over samples,
 * times `lossScaling` and the scale of float16. Weights and clock are unchanged. Of several processes each takes its part of the
 * samples, and all get the gradients and sums of the whole step.
 *
 * @param onPart - called after each forward and backward pass with the number of this process's samples done
 */
export function computeGradients(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  onPart?: (done: number) => void,
): StepSums {
  const { batch, microBatch, lossScaling, loss, ranks } = settings;
  const own = partOf(batch, ranks ?? { rank: 0, size: 1 });
  const { network, parameters, stability, images: first } = state;
  const { noiseLevels = network.preconditioning.noiseLevels } = settings;
  parameters.zeroGrad();
  const indices = data.order.range(first, batch);
  return scope(() => {
    using targets = targetsOfStep(data.bank, { ...settings, noiseLevels }, first, indices);
    const { sources } = targets;
    const [sums, oneHot] = [2, 1].map((size) => zeros([size], { dtype: "float64", device: data.bank.device })) as [
      Tensor,
      Tensor,
    ];
    for (let begin = own.first; begin < own.end; begin += microBatch) {
      const end = Math.min(begin + microBatch, own.end);
      scope(() => {
        const samples = Array.from({ length: end - begin }, (_, i) => first + begin + i);
        const part = perturb(samples, sources.indices.subarray(begin, end), sources.bank, { ...settings, noiseLevels });
        const dropout = new DropoutKeys(settings.seed, first + begin);
        using recomputation = settings.recompute ? new Recomputation() : undefined;
        const target = targets.targetsOf(part, begin);
        if (settings.target.needsReferences) oneHot.add_(countOneHot(target, part.source));
        const error = weightedError(network, part, target, { loss, dropout, recomputation });
        // Recomputed parts have backward passes of their own, in which gradients arrive more than once.
        if (end === own.end && !recomputation) ranks?.beginSums();
        sums.add_(addGradients(error, (lossScaling / batch) * stability.scale));
        recomputation?.backward();
      });
      onPart?.(end - own.first);
    }
    const waited = ranks?.finishSums([sums, oneHot]);
    const count = batch * data.bank.dimension;
    return { sums, count, waited, ...(settings.target.needsReferences && { oneHot }) };
  });
}

/** @throws RangeError for a part of the data set whose references are not divided: nobody else has the rest of them */
function targetsOfStep(
  bank: Bank | DividedBank,
  settings: TrainingSettings & { readonly noiseLevels: NoiseLevels },
  first: number,
  indices: Int32Array,
): StepTargets {
  const { ranks, isDivided = false, target } = settings;
  if (ranks && isDivided && target.needsReferences) return dividedTargets(bank, { ...settings, ranks }, first, indices);
  if (!(bank instanceof DividedBank)) return stepTargets(bank, settings, first, indices);
  throw new RangeError("a part of the images needs a target whose references several processes divide");
}

/** Values in [-1, 1] that differ by less look the same. */
const HALF_GREY_LEVEL = 1 / 255;

/** How many targets are their source: then the posterior over the references is nearly one-hot. */
const countOneHot = (target: Tensor, source: Tensor): Tensor =>
  scope(() => target.sub(source).abs().flatten(1).amax(1).le(HALF_GREY_LEVEL).sum().double());

/**
 * The second half: takes the flat gradients through Adam, then the averages, and advances the clock by a batch. If the loss or the
 * gradient is not finite, the step is skipped: only the clock advances, so that the next step has other samples, and
 * power-function averages, for which the weights have been the same for longer.
 */
export function applyGradients(
  state: TrainingState,
  { sums, count, oneHot, waited }: StepSums,
  settings: UpdateSettings,
): StepResult {
  const { images, parameters, optimizer, ema, secondAverage, stability } = state;
  const { batch, clip = Number.POSITIVE_INFINITY } = settings;
  // The only numbers of a step that the host waits for.
  const [sum = 0, squares = 0, norm = 0, ...counted] = scope(() => {
    const norm = parameters.gradients.linalgVectorNorm().double().view([1]);
    return cat([sums, norm, ...(oneHot ? [oneHot] : [])]).toFloat64Array();
  });
  const { scale } = stability;
  const gradientNorm = norm / scale;
  const rate = stability.rate * learningRate(images, settings.learningRate);
  const powerDecayOf = (width: number): number => powerDecay(images, { batch, exponent: powerExponent(width) });
  const decay = secondAverage ? powerDecayOf(powerWidths.drawn) : emaDecay(images, { batch, ...settings.ema });
  const isSkipped = !Number.isFinite(sum) || !Number.isFinite(gradientNorm);
  if (!isSkipped) {
    const factor = Math.min(clip / gradientNorm, 1) / scale;
    if (factor !== 1) noGrad(() => void parameters.gradients.mul_(factor));
    optimizer.step(rate, { ema, decay });
  } else if (secondAverage) {
    ema.update(decay);
  }
  if (secondAverage) noGrad(() => void secondAverage.lerp_(parameters.values, 1 - powerDecayOf(powerWidths.other)));
  countStep(stability, isSkipped, state.network.precision === "fp16");
  state.images += batch;
  return {
    ...{ mean: sum / count, meanSquare: squares / count, count, gradientNorm, learningRate: rate, isSkipped, waited },
    ...(oneHot && { oneHot: (counted[0] as number) / batch }),
  };
}

/**
 * Takes one step and advances the clock: the gradient of the loss through Adam, and then the average, as {@link applyGradients} does.
 *
 * @param onPart - as that of {@link computeGradients}
 */
export function trainingStep(
  state: TrainingState,
  data: TrainingData,
  settings: TrainingSettings,
  onPart?: (done: number) => void,
): StepResult {
  return scope(() => applyGradients(state, computeGradients(state, data, settings, onPart), settings));
}

/** The errors of networks over the noise level, on images that they were trained on and on others. */

import { cat, noGrad, scope, type Tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { type Estimate, meanOf } from "../metrics/estimate.js";
import type { Denoiser } from "../networks/denoiser.js";
import type { NetworkLevel } from "../run/variance-report.js";
import { type PerturbedBatch, perturbedImages } from "../targets/target.js";
import { denoisingErrors } from "./denoising-error.js";
import type { EmpiricalTruth } from "./empirical-truth.js";
import { controlled, ratioOf } from "./estimates.js";
import { NoisySamples } from "./noisy-samples.js";
import { RayPosterior } from "./ray-posterior.js";
import { type SampleOptions, valuesOfSamples } from "./sample-ranks.js";

/** A network, and the denoiser that replaces it at high noise. */
export interface MeasuredNetwork {
  /** The network. */
  readonly denoiser: Denoiser;
  /** D(x; sigma) of noisy images `[B, C, H, W]`, of the classes of the network; undefined for nothing. */
  readonly analytic?: ((x: Tensor, sigma: Float64Array, classes: Int32Array | undefined) => Tensor) | undefined;
}

/** Options of {@link networkErrors}. */
export interface NetworkErrorOptions extends Omit<SampleOptions, "onSample"> {
  /** Noise levels, `[L]`. */
  readonly sigma: Float64Array;
  /** Images that no network was trained on; none when left out. They are in the units of the training images. */
  readonly unseen?: Bank | undefined;
  /** Seed of the samples made from unseen images. */
  readonly seed: number;
  /** Called after each sample with the part that is done; may throw to stop. */
  readonly onSample?: (part: number) => void;
}

/** What an exact denoiser explains is rounding below this part of the variance of the data: its images are float32. */
const ROUNDING = 1e-9;

/** Errors of one noisy image at every level, `[L]`. */
interface SampleErrors {
  /** ||D - y||² / D */
  readonly loss: Float64Array;
  /** ||D - D*||² / D */
  readonly excess: Float64Array;
  /** ||D - y||² / D of the analytic denoiser; undefined without one, and on training images, to which it was fitted. */
  readonly analytic: Float64Array | undefined;
}

/** One image at all levels, as a batch. */
function ladder(bank: Bank, item: number, noise: Tensor, sigma: Float64Array): PerturbedBatch {
  const { channels, height, width } = bank.shape;
  const shape = [sigma.length, channels, height, width];
  const indices = new Int32Array(sigma.length).fill(item);
  const image = bank.toValues(bank.gather(Int32Array.of(item))).view([1, channels, height, width]);
  return {
    indices,
    source: image.expand(shape),
    noise: noise.view([1, channels, height, width]).expand(shape),
    sigma,
    ...(bank.labels && { classes: new Int32Array(sigma.length).fill(bank.labels[item] as number) }),
  };
}

/** The mean of the posterior over the training set, of a noisy image that need not be made from it: `[L, C, H, W]`. */
function posteriorMean(truth: EmpiricalTruth, bank: Bank, item: number, noise: Tensor, sigma: Float64Array): Tensor {
  const { channels, height, width } = bank.shape;
  const support = truth.supportOfClass(bank.labels?.[item]);
  const ray = new RayPosterior(truth.bank, support, bank.gather(Int32Array.of(item)), noise);
  return ray.posteriorMean(sigma).view([sigma.length, channels, height, width]);
}

/** What is measured on one set of images. */
interface Measured {
  /** The errors of each network on each sample. */
  readonly networks: readonly (readonly SampleErrors[])[];
  /** ||D* - y||² / D of each sample, with D* the posterior mean over the training set. */
  readonly exact: readonly Float64Array[];
  /** ||D* - E y||² / D of each sample. */
  readonly explainable: readonly Float64Array[];
  /** ||y - E y||² / D of each sample, less its mean over the whole set. */
  readonly contrast: Float64Array;
}

/**
 * The errors of some networks at each level, in the order of the networks: on noisy training images against the clean image and against
 * the exact denoiser, and on noisy unseen images. All networks see the same noisy images. The noise of an unseen image is that of the
 * training image with the same number. Where little is known of an image, its error is its distance from the mean image, which varies
 * much and whose mean over the set is known exactly: that variation is taken out of the losses (`controlled`).
 */
export function networkErrors(
  measured: readonly MeasuredNetwork[],
  truth: EmpiricalTruth,
  { sigma, samples, ranks, unseen, seed, onSample }: NetworkErrorOptions,
): NetworkLevel[][] {
  const sets = unseen ? 2 : 1;
  const measure = (set: NoisySamples, number: number): Measured => {
    const options = { samples, ranks, onSample: (done: number) => onSample?.((number + done / samples) / sets) };
    const found = valuesOfSamples(options, (sample) =>
      noGrad(() =>
        scope(() => {
          const item = set.sourceOf(sample);
          const noise = truth.samples.noiseOf(sample);
          const batch = ladder(set.bank, item, noise, sigma);
          const mean = posteriorMean(truth, set.bank, item, noise, sigma);
          const exact = meanSquares(mean.sub(batch.source));
          const centre = truth.meanImage(set.bank.labels?.[item]);
          const explainable = meanSquares(mean.flatten(1).sub(centre));
          const distance = meanSquares(batch.source.narrow(0, 0, 1).flatten(1).sub(centre));
          const ofNetworks = measured.flatMap(({ denoiser, analytic }) => {
            const { loss, excess } = denoisingErrors(denoiser, batch, mean);
            const isNew = analytic !== undefined && set.bank === unseen;
            const other = isNew ? analytic(perturbedImages(batch), sigma, batch.classes) : undefined;
            return [loss, excess as Float64Array, other ? meanSquares(other.sub(batch.source)) : new Float64Array()];
          });
          return [exact, explainable, distance, ...ofNetworks];
        }),
      ),
    );
    const average = noGrad(() => meanDistance(set.bank, truth));
    const arrays = (which: number): Float64Array[] => found.map((values) => values[which] as Float64Array);
    const networks = measured.map((_, k) =>
      found.map((values): SampleErrors => {
        const [loss, excess, analytic] = values.slice(3 + 3 * k) as [Float64Array, Float64Array, Float64Array];
        return { loss, excess, analytic: analytic.length > 0 ? analytic : undefined };
      }),
    );
    const contrast = Float64Array.from(arrays(2), ([distance = 0]) => distance - average);
    return { networks, exact: arrays(0), explainable: arrays(1), contrast };
  };
  const seen = measure(truth.samples, 0);
  const other = unseen && measure(new NoisySamples(unseen, seed), 1);
  return measured.map((_, k) =>
    Array.from(sigma, (_, level) => levelErrors(seen, other, { k, level, variance: truth.variance })),
  );
}

/** The errors of network number k at one level. @param variance - of the data */
function levelErrors(
  seen: Measured,
  unseen: Measured | undefined,
  { k, level, variance }: { readonly k: number; readonly level: number; readonly variance: number },
): NetworkLevel {
  const valuesOf = (samples: readonly Float64Array[]): Float64Array =>
    Float64Array.from(samples, (values) => values[level] as number);
  const lossOf = ({ networks, contrast }: Measured): Float64Array =>
    controlled(valuesOf((networks[k] ?? []).map(({ loss }) => loss)), contrast);
  const excess = valuesOf((seen.networks[k] ?? []).map((errors) => errors.excess));
  const explainable = valuesOf(seen.explainable);
  const missing = ratioOf(excess, explainable);
  const hasSignal = meanOf(explainable).value > ROUNDING * variance;
  const loss = meanOf(lossOf(seen));
  const own = { loss, excess: meanOf(excess), explained: hasSignal ? { ...missing, value: 1 - missing.value } : null };
  if (!unseen) return { seen: own };
  const other = meanOf(lossOf(unseen));
  const gap = { value: other.value - loss.value, ...errorOfDifference(other, loss) };
  const exact = meanOf(controlled(valuesOf(unseen.exact), unseen.contrast));
  const samples = unseen.networks[k] ?? [];
  if (samples.some(({ analytic }) => analytic === undefined)) return { seen: own, unseen: { loss: other, exact, gap } };
  const known = valuesOf(samples.map(({ analytic }) => analytic as Float64Array));
  const differences = samples.map((errors, i) => (errors.loss[level] as number) - (known[i] as number));
  const analytic = { loss: meanOf(controlled(known, unseen.contrast)), advantage: meanOf(differences) };
  return { seen: own, unseen: { loss: other, exact, gap, analytic } };
}

function errorOfDifference(one: Estimate, other: Estimate): { readonly error?: number } {
  if (one.error === undefined || other.error === undefined) return {};
  return { error: Math.hypot(one.error, other.error) };
}

/** Items that are summed up at a time. */
const ITEMS_AT_ONCE = 2048;

/** The mean over all items of ||y - E y||² / D, with E y the mean of the training images, or of those of the class. */
function meanDistance(bank: Bank, truth: EmpiricalTruth): number {
  const { count, labels } = bank;
  let sum = 0;
  for (let first = 0; first < count; first += ITEMS_AT_ONCE) {
    const items = Int32Array.from({ length: Math.min(ITEMS_AT_ONCE, count - first) }, (_, i) => first + i);
    sum += scope(() => {
      const values = bank.toValues(bank.gather(items));
      const centres = labels
        ? cat(Array.from(items, (item) => truth.meanImage(labels[item])))
        : truth.meanImage(undefined);
      return values.double().sub(centres).square().mean([1]).sum().item();
    });
  }
  return sum / count;
}

/** Mean of the squared values of each row, `[L]`. */
function meanSquares(differences: Tensor): Float64Array {
  return differences.double().square().flatten(1).mean([1]).toFloat64Array();
}

/** The errors of networks over the noise level, on images that they were trained on and on others. */

import { noGrad, scope, type Tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { type Estimate, meanOf } from "../metrics/estimate.js";
import type { Denoiser } from "../networks/denoiser.js";
import type { NetworkLevel } from "../run/variance-report.js";
import type { PerturbedBatch } from "../targets/target.js";
import { denoisingErrors } from "./denoising-error.js";
import type { EmpiricalTruth } from "./empirical-truth.js";
import { ratioOf } from "./estimates.js";
import { NoisySamples } from "./noisy-samples.js";
import { RayPosterior } from "./ray-posterior.js";

/** Options of {@link networkErrors}. */
export interface NetworkErrorOptions {
  /** Noise levels, `[L]`. */
  readonly sigma: Float64Array;
  /** Number of noisy samples. */
  readonly samples: number;
  /** Images that no network was trained on; none when left out. They are in the units of the training images. */
  readonly unseen?: Bank | undefined;
  /** Seed of the samples made from unseen images. */
  readonly seed: number;
  /** Called after each sample with the number done; may throw to stop. */
  readonly onSample?: (done: number) => void;
}

/** Errors of one noisy image at every level, `[L]`. */
interface SampleErrors {
  /** ||D - y||² / D */
  readonly loss: Float64Array;
  /** ||D - D*||² / D */
  readonly excess: Float64Array;
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
}

/**
 * The errors of some networks at each level, in the order of the networks: on noisy training images against the clean image and against
 * the exact denoiser, and on noisy unseen images. All networks see the same noisy images. The noise of an unseen image is that of the
 * training image with the same number.
 */
export function networkErrors(
  denoisers: readonly Denoiser[],
  truth: EmpiricalTruth,
  { sigma, samples, unseen, seed, onSample }: NetworkErrorOptions,
): NetworkLevel[][] {
  const sets = unseen ? 2 : 1;
  const measure = (set: NoisySamples, number: number): Measured => {
    const networks = denoisers.map((): SampleErrors[] => []);
    const exact: Float64Array[] = [];
    const explainable: Float64Array[] = [];
    for (let sample = 0; sample < samples; sample++) {
      noGrad(() =>
        scope(() => {
          const item = set.sourceOf(sample);
          const noise = truth.samples.noiseOf(sample);
          const batch = ladder(set.bank, item, noise, sigma);
          const mean = posteriorMean(truth, set.bank, item, noise, sigma);
          exact.push(meanSquares(mean.sub(batch.source)));
          explainable.push(meanSquares(mean.flatten(1).sub(truth.meanImage(set.bank.labels?.[item]))));
          for (const [k, denoiser] of denoisers.entries()) {
            const { loss, excess } = denoisingErrors(denoiser, batch, mean);
            networks[k]?.push({ loss, excess: excess as Float64Array });
          }
        }),
      );
      onSample?.((number + (sample + 1) / samples) / sets);
    }
    return { networks, exact, explainable };
  };
  const seen = measure(truth.samples, 0);
  const other = unseen && measure(new NoisySamples(unseen, seed), 1);
  return denoisers.map((_, k) => Array.from(sigma, (_, level) => levelErrors(seen, other, k, level)));
}

/** The errors of network number k at one level. */
function levelErrors(seen: Measured, unseen: Measured | undefined, k: number, level: number): NetworkLevel {
  const valuesOf = (samples: readonly Float64Array[]): Float64Array =>
    Float64Array.from(samples, (values) => values[level] as number);
  const lossOf = ({ networks }: Measured): Float64Array => valuesOf((networks[k] ?? []).map(({ loss }) => loss));
  const excess = valuesOf((seen.networks[k] ?? []).map((errors) => errors.excess));
  const missing = ratioOf(excess, valuesOf(seen.explainable));
  const loss = meanOf(lossOf(seen));
  const own = { loss, excess: meanOf(excess), explained: { ...missing, value: 1 - missing.value } };
  if (!unseen) return { seen: own };
  const other = meanOf(lossOf(unseen));
  const gap = { value: other.value - loss.value, ...errorOfDifference(other, loss) };
  return { seen: own, unseen: { loss: other, exact: meanOf(valuesOf(unseen.exact)), gap } };
}

function errorOfDifference(one: Estimate, other: Estimate): { readonly error?: number } {
  if (one.error === undefined || other.error === undefined) return {};
  return { error: Math.hypot(one.error, other.error) };
}

/** Mean of the squared values of each row, `[L]`. */
function meanSquares(differences: Tensor): Float64Array {
  return differences.double().square().flatten(1).mean([1]).toFloat64Array();
}

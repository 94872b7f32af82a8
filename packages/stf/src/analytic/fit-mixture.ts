/**
 * Fitting a mixture of Gaussians to a data set at a noise level: expectation-maximization for the density of the noisy
 * images, not of the clean ones, because only noisy ones are denoised. Components that the noise hides from each other are
 * not told apart, and variances far below that of the noise do not matter.
 *
 * What is maximized is a lower bound of the expected log-density, with one distribution q_i over components for each image,
 * whatever its noise (Jensen's inequality):
 *
 *     E ln p(y + sigma eps)  >=  mean_i sum_m q_im [ln pi_m + E_eps ln N(y_i + sigma eps; mu_m, S_m + sigma² I) - ln q_im].
 *
 * The expectation over the noise has a closed form, so nothing is drawn. The best q_i are the responsibilities of the
 * present mixture at y_i (LowRankMixture.responsibilities); the best mu_m and S_m are the weighted means and covariances of
 * the clean images, of which the r largest eigenvalues are kept, and the mean of the others for the rest (Tipping and
 * Bishop 1999, with the noise added to all eigenvalues). So mean and total variance of the mixture are those of the images.
 */

import { keyedNormal, linalgQr, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { Bank } from "../data/bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import { contentOrder } from "./content-order.js";
import { initialCentres, meanSpread } from "./initial-centres.js";
import { LowRankMixture } from "./low-rank-mixture.js";
import { mixturePass } from "./mixture-pass.js";

/** Least number of images that a component stands for, so that none can be read out of it. */
export const IMAGES_PER_COMPONENT = 100;

/** Options of {@link fitMixture}. */
export interface MixtureOptions {
  /** Most components. Those that come to stand for fewer than 100 images are dropped. 10 when left out. */
  readonly components?: number;
  /** Most directions of a component; one for each 4 of its images at most. 64 when left out. */
  readonly rank?: number;
  /** Items of the bank to fit it to; all when left out. */
  readonly items?: Int32Array | undefined;
  /** 0 when left out. */
  readonly seed?: number;
  /** Called after each pass over images with the bound, in nats per image; may throw to stop. */
  readonly onPass?: (bound: number) => void;
}

/** Images that the mixture is found on; the last passes are over all of them. */
const IMAGES_TO_SEARCH = 8192;

/** Values of images with which k-means begins, and most images. */
const VALUES_TO_BEGIN = 2 ** 22;
const IMAGES_TO_BEGIN = 4096;

/** Directions beyond those wanted, with which the wanted ones converge in fewer passes (Halko, Martinsson and Tropp 2011). */
const OVERSAMPLING = 10;

/** Most multiplications of the passes over all images, for each of which a component takes 8 r D: a minute of two cores. */
const MOST_WORK = 2e12;

/** Passes over the images to search: at most, and the gain of the bound, in nats per image, at which they end. */
const MOST_PASSES = 20;
const LEAST_GAIN = 0.05;

/** Passes over all images at least. */
const LAST_PASSES = 2;

/** Orthonormal rows in random directions, the same for each of K components, float32 `[K, q, D]`. */
function randomDirections(K: number, q: number, { dimension, device }: Bank, seed: number): Tensor {
  return scope(() => {
    const keys = Array.from({ length: q }, (_, j) => randomKey(seed, "analytic", j + 1));
    const columns = keyedNormal(keys, dimension, device).double().t();
    return linalgQr(columns)[0].t().float().repeat([K, 1, 1]);
  });
}

/** Isotropic components of equal weight, from k-means, with random directions to begin with. */
function beginning(
  bank: Bank,
  order: Int32Array,
  K: number,
  width: number,
  sigma: number,
  seed: number,
): LowRankMixture {
  return scope(() => {
    const count = Math.min(order.length, IMAGES_TO_BEGIN, Math.max(256, Math.floor(VALUES_TO_BEGIN / bank.dimension)));
    const points = bank.toValues(bank.gather(order.subarray(0, count)));
    const means = initialCentres(points, K, new KeyedRandom(randomKey(seed, "analytic")));
    const { device } = bank;
    const found = means.size(0);
    return new LowRankMixture({
      shape: bank.shape,
      sigmaFloor: sigma,
      counts: new Float64Array(found).fill(1),
      means,
      directions: randomDirections(found, width, bank, seed),
      variances: zeros([found, width], { dtype: "float64", device }),
      rest: tensor(new Float64Array(found).fill(meanSpread(points, means)), { device }),
    });
  });
}

/** {@link fitMixture} for images in an order that has nothing to do with them. Of very many, the first ones do. */
export function fitInOrder(
  bank: Bank,
  all: Int32Array,
  sigma: number,
  { components = 10, rank = 64, seed = 0, onPass }: MixtureOptions,
): LowRankMixture {
  const affordable = Math.ceil(MOST_WORK / (8 * components * rank * bank.dimension));
  const order = all.subarray(0, Math.max(affordable, components * IMAGES_PER_COMPONENT));
  const K = Math.min(components, Math.floor(order.length / IMAGES_PER_COMPONENT));
  const wide = Math.min(bank.dimension, rank + OVERSAMPLING);
  const searched = order.subarray(0, IMAGES_TO_SEARCH);
  let mixture = beginning(bank, order, K, wide, sigma, seed);
  try {
    const pass = (items: Int32Array, directions: number): { bound: number; dropped: number } => {
      const leastImages = (IMAGES_PER_COMPONENT * items.length) / order.length;
      const next = mixturePass(mixture, bank, { sigma, items, rank: directions, leastImages });
      mixture.dispose();
      mixture = next.mixture;
      onPass?.(next.bound);
      return next;
    };
    let before = Number.NEGATIVE_INFINITY;
    for (let done = 0; done < MOST_PASSES; done++) {
      const { bound, dropped } = pass(searched, wide);
      if (dropped === 0 && bound - before < LEAST_GAIN) break;
      before = bound;
    }
    for (let done = 1; ; done++) {
      const { dropped } = pass(order, done < LAST_PASSES ? wide : rank);
      if (dropped === 0 && done >= LAST_PASSES) return mixture;
    }
  } catch (error) {
    mixture.dispose();
    throw error;
  }
}

/**
 * Fits a mixture of Gaussians to a data set for denoising at a noise level and above. The result is determined by the
 * images and the options: the order of the images does not matter. With the defaults, 60,000 images of 28 x 28 take ten
 * seconds of one core; memory beyond the bank's is some hundred MB.
 *
 * @param sigma - the least noise level at which it will be used, positive
 * @throws InputError when there are fewer than 100 images, so that one could be read out of a component; RangeError for
 * options that are out of range
 */
export function fitMixture(bank: Bank, sigma: number, options: MixtureOptions = {}): LowRankMixture {
  checkFit(bank, sigma, options);
  return fitInOrder(bank, contentOrder(bank, options.seed ?? 0, options.items), sigma, options);
}

/** Checks what a fit is given. */
export function checkFit(bank: Bank, sigma: number, { components = 10, rank = 64, items }: MixtureOptions): void {
  const { name } = bank;
  const count = items?.length ?? bank.count;
  if (count < IMAGES_PER_COMPONENT) {
    throw new InputError(
      `a mixture of Gaussians needs at least ${IMAGES_PER_COMPONENT} images, so that none can be read out of it, and ${name} has ${count}; use the exact posterior mean`,
    );
  }
  if (!(sigma > 0 && sigma < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`the noise level of a fit must be a positive number, found ${sigma}`);
  }
  if (!(Number.isInteger(components) && components >= 1)) {
    throw new RangeError(`'components' must be a whole number of at least 1, found ${components}`);
  }
  if (!(Number.isInteger(rank) && rank >= 1)) {
    throw new RangeError(`'rank' must be a whole number of at least 1, found ${rank}`);
  }
}

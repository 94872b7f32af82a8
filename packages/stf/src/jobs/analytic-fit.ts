/** Fitting a mixture of Gaussians to images, and finding where it should replace a network. */

import { fitClassMixtures } from "../analytic/class-mixtures.js";
import { fitMixture, IMAGES_PER_COMPONENT, type MixtureOptions } from "../analytic/fit-mixture.js";
import { type HandOver, measureHandOver } from "../analytic/hand-over.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { InputError } from "../common/errors.js";
import { formatLevel } from "../common/text.js";
import { directionsFor, FIT_LEVEL } from "../config/analytic-options.js";
import { type BankDivision, divideImages, selectImages } from "../data/held-out.js";
import type { ImageBank } from "../data/image-bank.js";
import type { Denoiser } from "../networks/denoiser.js";
import { denoiseClasses } from "../sampling/generate.js";
import { edmSchedule } from "../sampling/steps.js";
import { titleOf } from "./analytic-part.js";
import { checkStop, type JobContext } from "./context.js";

/** Images that a mixture is not fitted to, for comparison, at most; and of all images at most. */
const COMPARED = 512;
const COMPARED_SHARE = 1 / 8;
/** With fewer other images the error of a comparison is itself unknown. */
const LEAST_COMPARED = 10;

/** At most `most` of `count` items, evenly spread. */
function evenly(count: number, most: number): Int32Array {
  const chosen = Math.min(count, most);
  return Int32Array.from({ length: chosen }, (_, i) => Math.floor((i * count) / chosen));
}

/** A mixture, and images that it was not fitted to. */
export interface FittedAnalytic {
  readonly denoiser: StoredAnalytic["denoiser"];
  /** A few hundred, in a bank of their own. */
  readonly others: ImageBank;
}

/** Options of {@link fitAnalytic}. */
export interface FitOptions {
  /** Gaussians at most. */
  readonly components: number;
  /** Whether there is a mixture for each class, too. */
  readonly cond: boolean;
  /** Other images to compare with a network on; a few of the bank, which are then not fitted, when left out. */
  readonly heldOut?: ImageBank | undefined;
}

/**
 * Fits a mixture to the images of a data set, to replace a network. The caller owns the result.
 *
 * @throws InputError for too few images, and a network without noise levels at which it could be replaced; Stopped when the job is to stop
 */
export function fitAnalytic(
  bank: ImageBank,
  { preconditioning: { sigmaMax } }: Denoiser,
  options: FitOptions,
  context: JobContext,
): FittedAnalytic {
  const { heldOut } = options;
  if (!(sigmaMax > FIT_LEVEL)) {
    throw new InputError(
      `the network's noise levels end at ${formatLevel(sigmaMax)}, and an analytic denoiser may replace it from ${FIT_LEVEL} on only`,
    );
  }
  if (heldOut && heldOut.count < LEAST_COMPARED) {
    throw new InputError(
      `${heldOut.count === 1 ? "1 held-out image is" : `${heldOut.count} held-out images are`} too few to find where an analytic denoiser should replace the network, for which it takes ${LEAST_COMPARED} at least: 'heldOut' may name more, or be left out`,
    );
  }
  const kept = heldOut ? undefined : divideImages(bank, Math.min(COMPARED / bank.count, COMPARED_SHARE));
  checkEnough(bank, kept);
  const denoiser = fitMixtures(bank, { ...options, items: kept?.training }, context);
  const others = kept
    ? selectImages(bank, kept.heldOut)
    : selectImages(heldOut as ImageBank, evenly((heldOut as ImageBank).count, COMPARED));
  return { denoiser, others };
}

/** @throws InputError for too few different images. @param kept - how they are divided; all are fitted when left out */
function checkEnough({ name, count }: ImageBank, kept: BankDivision | undefined): void {
  const fitted = kept?.training.length ?? count;
  if (fitted >= IMAGES_PER_COMPONENT && kept?.heldOut.length !== 0) return;
  const hasTwins = (kept?.heldOut.length ?? 0) > Math.max(2 * COMPARED_SHARE * count, LEAST_COMPARED);
  throw new InputError(
    hasTwins
      ? `of the ${count} images of ${name} too many are equal for an analytic denoiser: it is fitted to some and compared with the network on others`
      : `${fitted} images of ${name} are too few for an analytic denoiser: a Gaussian stands for ${IMAGES_PER_COMPONENT} at least, so that no image can be read out of it`,
  );
}

function fitMixtures(
  bank: ImageBank,
  { components, cond, items }: FitOptions & { readonly items?: Int32Array | undefined },
  context: JobContext,
): StoredAnalytic["denoiser"] {
  const { reporter } = context;
  let passes = 0;
  const options: MixtureOptions = {
    ...{ components, items, rank: directionsFor(components, bank.shape) },
    onPass: () => {
      checkStop(context);
      reporter.update(`fitting Gaussians to the images: pass ${++passes}`);
    },
  };
  try {
    return cond ? fitClassMixtures(bank, FIT_LEVEL, options) : fitMixture(bank, FIT_LEVEL, options);
  } finally {
    reporter.clear();
  }
}

/**
 * Compares a network with a mixture on the images that the latter was not fitted to.
 *
 * @param images - per noise level, at most
 * @throws Stopped when the job is to stop
 */
export function compareWithNetwork(
  network: Denoiser,
  { denoiser, others }: FittedAnalytic,
  images: number,
  context: JobContext,
): HandOver {
  const { reporter } = context;
  const { preconditioning, labelDim, training } = network;
  const denoise = denoiseClasses(network);
  network.eval();
  try {
    return measureHandOver(
      denoise,
      (x, sigma, classes) => denoiser.denoise(x, sigma, labelDim > 0 ? classes : undefined),
      others,
      {
        sigmaMin: Math.max(denoiser.sigmaFloor, preconditioning.sigmaMin),
        sigmaMax: Math.min(edmSchedule.sigmaMax, preconditioning.sigmaMax),
        images,
        onBatch: (done) => {
          checkStop(context);
          reporter.update(`comparing the network with the analytic denoiser: ${done} noisy images`);
        },
      },
    );
  } finally {
    reporter.clear();
    network.train(training);
  }
}

/** "above noise level 2.6 a mixture of 10 Gaussians predicts images better" */
export function describeHandOver({ denoiser, handOver }: StoredAnalytic): string {
  const title = titleOf(denoiser);
  const { above, equal } = handOver;
  if (above === null)
    return `the network predicts images at least as well as ${title}, and is used at all noise levels`;
  const margin = equal === null ? "" : ` (as well from ${formatLevel(equal)} on)`;
  return `above noise level ${formatLevel(above)} ${title} predicts images better than the network${margin}, and replaces it`;
}

/** The analytic denoiser of a training: fitted to its images before the first step, compared with the network at snapshots. */

import { scope } from "@stf/torch";
import { fitClassMixtures } from "../analytic/class-mixtures.js";
import { fitMixture, IMAGES_PER_COMPONENT, type MixtureOptions } from "../analytic/fit-mixture.js";
import { type HandOver, measureHandOver } from "../analytic/hand-over.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { formatDuration, formatLevel } from "../common/text.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { divideImages, selectImages } from "../data/held-out.js";
import type { ImageBank } from "../data/image-bank.js";
import type { Denoiser } from "../networks/denoiser.js";
import { denoiseClasses } from "../sampling/generate.js";
import type { AnalyticPart } from "../sampling/hand-over.js";
import { edmSchedule } from "../sampling/steps.js";
import type { TrainingState } from "../training/state.js";
import { titleOf } from "./analytic-part.js";
import { checkStop, type JobContext } from "./context.js";

/**
 * The noise level for which mixtures are fitted, and above which they may be used, for images on [-1, 1]. What is fitted here is as
 * good at higher levels as what is fitted there, and no network is so bad that it should be replaced below.
 */
const FIT_LEVEL = 0.5;
/** Directions of a component at most. */
const RANK = 64;
/** Bytes of directions in a snapshot at most. */
const MOST_BYTES = 8 * 2 ** 20;
/** Images that a mixture is not fitted to, for comparison, at most; and of all images at most. */
const COMPARED = 512;
const COMPARED_SHARE = 1 / 8;
/** Images compared per noise level at least. */
const LEAST_COMPARED = 64;
/** Comparisons per image of training: they take about 8 evaluations of the network, and so at most 2 % of its time. */
const COMPARED_PER_IMAGE = 0.0075;
/** How many times the images must have become until a comparison is repeated for a temporary snapshot. */
const RENEWAL = 1.5;

/** Directions of a component, so that a mixture fits into a snapshot. */
const rankFor = (components: number, dimension: number): number =>
  Math.max(1, Math.min(RANK, Math.floor(MOST_BYTES / (2 * components * dimension))));

/** At most `most` of `count` items, evenly spread. */
function evenly(count: number, most: number): Int32Array {
  const chosen = Math.min(count, most);
  return Int32Array.from({ length: chosen }, (_, i) => Math.floor((i * count) / chosen));
}

/** Fits a mixture to the images of a data set, and one for each class of a conditional network. */
export function fitAnalytic(
  bank: ImageBank,
  { components, cond, items }: { readonly components: number; readonly cond: boolean; readonly items?: Int32Array },
  context: JobContext,
): StoredAnalytic["denoiser"] {
  const { reporter } = context;
  let passes = 0;
  const options: MixtureOptions = {
    ...{ components, items, rank: rankFor(components, bank.dimension) },
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

/** Compares a network with an analytic denoiser on images that the latter was not fitted to. */
export function compareWithNetwork(
  network: Denoiser,
  denoiser: StoredAnalytic["denoiser"],
  bank: ImageBank,
  images: number,
  { reporter }: JobContext,
): HandOver {
  const { preconditioning, labelDim, training } = network;
  const denoise = denoiseClasses(network);
  network.eval();
  try {
    return measureHandOver(
      (x, sigma, classes) => denoise(x, sigma, classes),
      (x, sigma, classes) => denoiser.denoise(x, sigma, labelDim > 0 ? classes : undefined),
      bank,
      {
        sigmaMin: Math.max(denoiser.sigmaFloor, preconditioning.sigmaMin),
        sigmaMax: Math.min(edmSchedule.sigmaMax, preconditioning.sigmaMax),
        images,
        onBatch: (done) => reporter.update(`comparing the network with the analytic denoiser: ${done} noisy images`),
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
  const margin = equal === null ? "" : ` (as well from ${formatLevel(equal)})`;
  return `above noise level ${formatLevel(above)} ${title} predicts images better than the network${margin}, and replaces it`;
}

/** The mixture of one training. */
export class TrainingAnalytic implements Disposable {
  readonly #denoiser: StoredAnalytic["denoiser"];
  readonly #compared: ImageBank;
  readonly #context: JobContext;
  #latest: { readonly images: number; readonly handOver: HandOver } | undefined;

  /** Takes ownership of the denoiser and of the images that it is compared on. */
  private constructor(denoiser: StoredAnalytic["denoiser"], compared: ImageBank, context: JobContext) {
    this.#denoiser = denoiser;
    this.#compared = compared;
    this.#context = context;
  }

  /**
   * Fits a mixture to the images of a training, less a few for comparison if none are held out.
   *
   * @returns undefined for no mixture, or too few images
   * @throws Stopped when the job is to stop
   */
  static fit(
    { options, bank, heldOut }: { options: ResolvedOptions; bank: ImageBank; heldOut: ImageBank | undefined },
    context: JobContext,
  ): TrainingAnalytic | undefined {
    const { analytic: components, cond } = options;
    if (components === 0) return undefined;
    const { reporter, now } = context;
    const start = now();
    const { training, heldOut: kept } = divideImages(bank, Math.min(COMPARED / bank.count, COMPARED_SHARE));
    const items = heldOut ? undefined : training;
    if ((items?.length ?? bank.count) < IMAGES_PER_COMPONENT || (heldOut?.count ?? kept.length) === 0) {
      reporter.print(
        `note        ${bank.count} images are too few for an analytic denoiser: every Gaussian stands for ${IMAGES_PER_COMPONENT} images at least, so that none can be read out of it`,
      );
      return undefined;
    }
    const denoiser = fitAnalytic(bank, { components, cond, ...(items && { items }) }, context);
    // A copy in any case: the banks of a training belong to others.
    const compared = heldOut ? selectImages(heldOut, evenly(heldOut.count, COMPARED)) : selectImages(bank, kept);
    const title = titleOf(denoiser);
    reporter.print(
      `analytic    ${title}, fitted in ${formatDuration(now() - start)}, ${(denoiser.bytes / 2 ** 20).toFixed(1)} MiB; compared with the network on ${compared.count} other images`,
    );
    return new TrainingAnalytic(denoiser, compared, context);
  }

  /** What replaces the network when images are drawn; undefined for nothing, or before the first comparison. */
  get part(): AnalyticPart | undefined {
    const above = this.#latest?.handOver.above ?? null;
    return above === null ? undefined : { denoiser: this.#denoiser, above };
  }

  /**
   * What a snapshot stores: the mixture, and where it replaces the network.
   *
   * @param isTemporary - whether the latest comparison will do if the training has not got much further
   */
  at({ averaged, images }: TrainingState, isTemporary: boolean): StoredAnalytic {
    const { reporter, shouldStop } = this.#context;
    const known = this.#latest;
    // Somebody who stops a training waits for its snapshot.
    const isHurried = shouldStop();
    const willDo = isHurried || (isTemporary && images < RENEWAL * (known?.images ?? 0));
    if (known === undefined || !(known.images === images || willDo)) {
      const usual = Math.max(LEAST_COMPARED, Math.floor(COMPARED_PER_IMAGE * images));
      const count = isHurried ? LEAST_COMPARED : usual;
      const handOver = scope(() => compareWithNetwork(averaged, this.#denoiser, this.#compared, count, this.#context));
      this.#latest = { images, handOver };
      reporter.print(`hand-over   ${describeHandOver({ denoiser: this.#denoiser, handOver })}`);
    }
    return { denoiser: this.#denoiser, handOver: (this.#latest as { handOver: HandOver }).handOver };
  }

  [Symbol.dispose](): void {
    this.#denoiser.dispose();
    this.#compared.dispose();
  }
}

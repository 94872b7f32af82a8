/** The analytic denoiser of a training: fitted to its images before the first step, compared with the network at snapshots. */

import { scope } from "@stf/torch";
import type { HandOver } from "../analytic/hand-over.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { InputError } from "../common/errors.js";
import { formatDuration, formatLevel } from "../common/text.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { hasLevelsBelow, levelsBelow, type NoiseLevels } from "../processes/noise-levels.js";
import type { AnalyticPart } from "../sampling/hand-over.js";
import type { TrainingState } from "../training/state.js";
import { compareWithNetwork, describeHandOver, type FittedAnalytic, fitAnalytic } from "./analytic-fit.js";
import { titleOf } from "./analytic-part.js";
import { alone, type JobContext } from "./context.js";
import { allOf } from "./shared-images.js";
import type { TrainingPlan } from "./training-plan.js";

/** Images compared per noise level at least. */
const LEAST_COMPARED = 64;
/** The same where somebody waits. */
const HURRIED = 16;
/** Comparisons per image of training: they take about 8 evaluations of the network, and so at most 2 % of its time. */
const COMPARED_PER_IMAGE = 0.0075;
/** With 'trainBelow=auto' the limit is this many times the noise level of the hand-over, which may therefore rise. */
const MARGIN = 1.5;
/** It is found at this number of images first, and each time they have doubled, with half the images for comparison. */
const FIRST_LIMIT = 4000;
const LIMIT_SHARE = 0.5;
/** How many times the images must have become until a comparison is repeated for a temporary snapshot. */
const RENEWAL = 1.5;

/** With 'trainBelow=auto', the number of images at which the limit is found next. */
export function nextLimit(images: number): number {
  let next = FIRST_LIMIT;
  while (next <= images) next *= 2;
  return next;
}

/** The mixture of one training. */
export class TrainingAnalytic implements Disposable {
  readonly #fitted: FittedAnalytic;
  readonly #context: JobContext;
  #latest: { readonly images: number; readonly handOver: HandOver } | undefined;
  readonly #below: ResolvedOptions["trainBelow"];
  #limit: number | undefined;
  /** The number of images at which the limit is found next. */
  #next: number;

  /** Takes ownership of what was fitted. */
  private constructor(fitted: FittedAnalytic, { options, state, trainedBelow }: TrainingPlan, context: JobContext) {
    this.#fitted = fitted;
    this.#context = context;
    this.#below = options.trainBelow;
    this.#limit = typeof options.trainBelow === "number" ? options.trainBelow : trainedBelow;
    this.#next = nextLimit(state.images);
  }

  /**
   * Fits a mixture to the images of a training.
   *
   * @returns undefined for no mixture, or too few images
   * @throws Stopped when the job is to stop
   */
  static fit(plan: TrainingPlan, context: JobContext): TrainingAnalytic | undefined {
    const { options, bank, heldOut, state } = plan;
    const { analytic: components, cond } = options;
    if (components === 0) return undefined;
    const { reporter, now } = context;
    const start = now();
    try {
      const fitted = fitAnalytic(allOf(bank), state.averaged, { components, cond, heldOut }, context);
      const { denoiser, others } = fitted;
      reporter.print(
        `analytic    ${titleOf(denoiser)}, fitted in ${formatDuration(now() - start)}, to replace the network at high noise, where it is better on ${others.count} other images`,
      );
      return new TrainingAnalytic(fitted, plan, context);
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      reporter.print(`note        ${error.message}`);
      return undefined;
    }
  }

  /** What replaces the network when images are drawn; undefined for nothing, or before the first comparison. */
  get part(): AnalyticPart | undefined {
    const above = this.#latest?.handOver.above ?? null;
    return above === null ? undefined : { denoiser: this.#fitted.denoiser, above };
  }

  /** The noise level below which the network is trained, as far as it was not given; undefined for all. */
  get trainedBelow(): number | undefined {
    return this.#below === "auto" ? this.#limit : undefined;
  }

  /** A distribution of noise levels without those that are left to the analytic denoiser at the time of drawing. */
  limited(levels: NoiseLevels): NoiseLevels {
    if (this.#below === "off") return levels;
    return (random) => (this.#limit === undefined ? levels : levelsBelow(levels, this.#limit))(random);
  }

  /**
   * Called after every step. The limit changes at numbers of images that do not depend on when a training is interrupted, so that a
   * resumed one goes on with the same noise levels.
   */
  onStep(state: TrainingState): void {
    if (this.#below !== "auto" || state.images < this.#next) return;
    this.#next = nextLimit(state.images);
    alone(this.#context, "it compares the network with the analytic denoiser", () => this.#findLimit(state));
    this.#context.team?.gather(this.#limit ?? null);
  }

  #findLimit(state: TrainingState): void {
    const { above } = this.#compare(state, LIMIT_SHARE);
    const limit = above === null ? Number.POSITIVE_INFINITY : MARGIN * above;
    const isPossible = hasLevelsBelow(state.network.preconditioning.noiseLevels, limit);
    const before = this.#limit;
    this.#limit = above !== null && isPossible ? limit : undefined;
    if (this.#limit !== undefined && this.#limit === before) return;
    const trained = this.#limit === undefined ? "all noise levels" : `noise levels below ${formatLevel(this.#limit)}`;
    const why = isPossible ? "" : `, hardly any of which are below ${formatLevel(limit)}`;
    this.#context.reporter.print(`noise       after ${state.images} images the network is trained on ${trained}${why}`);
  }

  /** The training has been taken back to an earlier state, which was trained below some noise level; undefined for all. */
  onReturn({ images }: TrainingState, trainedBelow: number | undefined): void {
    if ((this.#latest?.images ?? 0) > images) this.#latest = undefined;
    if (typeof this.#below !== "number") this.#limit = trainedBelow;
    this.#next = nextLimit(images);
  }

  /** @param share - of the comparisons that the training can afford; at least those of `least` images per noise level */
  #compare({ averaged, images }: TrainingState, share: number, least = LEAST_COMPARED): HandOver {
    const count = Math.max(least, Math.floor(share * COMPARED_PER_IMAGE * images));
    // Not stopped: a snapshot, or the training from here on, depends on it.
    const context = { ...this.#context, shouldStop: () => false };
    return scope(() => compareWithNetwork(averaged, this.#fitted, count, context));
  }

  /**
   * What a snapshot stores: the mixture, and where it replaces the network.
   *
   * @param isTemporary - whether the latest comparison will do if the training has not got much further
   */
  at(state: TrainingState, isTemporary: boolean): StoredAnalytic {
    const { reporter, shouldStop } = this.#context;
    const { denoiser } = this.#fitted;
    const { images } = state;
    const known = this.#latest;
    // Somebody who stops a training waits for its snapshot.
    const isHurried = shouldStop();
    const willDo = isHurried || (isTemporary && images < RENEWAL * (known?.images ?? 0));
    if (known && (known.images === images || willDo)) return { denoiser, handOver: known.handOver };
    const handOver = isHurried ? this.#compare(state, 0, HURRIED) : this.#compare(state, 1);
    this.#latest = { images, handOver };
    reporter.print(`hand-over   ${describeHandOver({ denoiser, handOver })}`);
    return { denoiser, handOver };
  }

  [Symbol.dispose](): void {
    this.#fitted.denoiser.dispose();
    this.#fitted.others.dispose();
  }
}

/** The analytic denoiser of a training: fitted to its images before the first step, compared with the network at snapshots. */

import { scope } from "@stf/torch";
import type { HandOver } from "../analytic/hand-over.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { InputError } from "../common/errors.js";
import { formatDuration } from "../common/text.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import type { ImageBank } from "../data/image-bank.js";
import type { AnalyticPart } from "../sampling/hand-over.js";
import type { TrainingState } from "../training/state.js";
import { compareWithNetwork, describeHandOver, type FittedAnalytic, fitAnalytic } from "./analytic-fit.js";
import { titleOf } from "./analytic-part.js";
import type { JobContext } from "./context.js";

/** Images compared per noise level at least. */
const LEAST_COMPARED = 64;
/** Comparisons per image of training: they take about 8 evaluations of the network, and so at most 2 % of its time. */
const COMPARED_PER_IMAGE = 0.0075;
/** How many times the images must have become until a comparison is repeated for a temporary snapshot. */
const RENEWAL = 1.5;

/** The mixture of one training. */
export class TrainingAnalytic implements Disposable {
  readonly #fitted: FittedAnalytic;
  readonly #context: JobContext;
  #latest: { readonly images: number; readonly handOver: HandOver } | undefined;

  /** Takes ownership of what was fitted. */
  private constructor(fitted: FittedAnalytic, context: JobContext) {
    this.#fitted = fitted;
    this.#context = context;
  }

  /**
   * Fits a mixture to the images of a training.
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
    try {
      const fitted = fitAnalytic(bank, { components, cond, heldOut }, context);
      const { denoiser, others } = fitted;
      reporter.print(
        `analytic    ${titleOf(denoiser)}, fitted in ${formatDuration(now() - start)}, to replace the network at high noise; compared with it on ${others.count} other images`,
      );
      return new TrainingAnalytic(fitted, context);
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

  /**
   * What a snapshot stores: the mixture, and where it replaces the network.
   *
   * @param isTemporary - whether the latest comparison will do if the training has not got much further
   */
  at({ averaged, images }: TrainingState, isTemporary: boolean): StoredAnalytic {
    const { reporter, shouldStop } = this.#context;
    const { denoiser } = this.#fitted;
    const known = this.#latest;
    // Somebody who stops a training waits for its snapshot.
    const isHurried = shouldStop();
    const willDo = isHurried || (isTemporary && images < RENEWAL * (known?.images ?? 0));
    if (known === undefined || !(known.images === images || willDo)) {
      const usual = Math.max(LEAST_COMPARED, Math.floor(COMPARED_PER_IMAGE * images));
      const count = isHurried ? LEAST_COMPARED : usual;
      const handOver = scope(() => compareWithNetwork(averaged, this.#fitted, count, this.#context));
      this.#latest = { images, handOver };
      reporter.print(`hand-over   ${describeHandOver({ denoiser, handOver })}`);
    }
    return { denoiser, handOver: (this.#latest as { handOver: HandOver }).handOver };
  }

  [Symbol.dispose](): void {
    this.#fitted.denoiser.dispose();
    this.#fitted.others.dispose();
  }
}

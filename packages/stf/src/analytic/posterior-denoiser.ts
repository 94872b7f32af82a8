/** The exact denoiser of a data set: that of the mixture of all its images, each with no spread of its own. */

import { noGrad, scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Bank } from "../data/bank.js";
import { inOrder, positionsOf } from "../targets/groups.js";
import { type Posterior, posterior } from "../targets/posterior.js";
import { classMembers } from "../targets/references.js";
import { type AnalyticDenoiser, rowsOf } from "./analytic-denoiser.js";

/** Options of {@link PosteriorDenoiser}. */
export interface PosteriorDenoiserOptions {
  /** Its `sigmaFloor`, for those who use it. 0 when left out: it is exact at all levels. */
  readonly sigmaFloor?: number;
  /** Whether the posterior of an image with a class is over the images of that class. False when left out. */
  readonly sameClass?: boolean;
}

/** The candidate source images of a part of a batch, and their posterior. */
interface PartPosterior extends Posterior {
  readonly references: Int32Array | "all";
}

/**
 * The posterior mean over all images of a bank, or all of a class, as an analytic denoiser. The bank must stay alive, and
 * remains the caller's. A call costs 4 B N D operations and takes 16 B N bytes. No gradients flow through it, and denoised
 * images are rounded to float32. Where the noise is low, it returns images of the bank.
 */
export class PosteriorDenoiser implements AnalyticDenoiser {
  readonly shape: ImageShape;
  readonly sigmaFloor: number;
  readonly #bank: Bank;
  readonly #members: ReadonlyMap<number, Int32Array>;

  /** @throws RangeError for posteriors by class of a bank without labels */
  constructor(bank: Bank, { sigmaFloor = 0, sameClass = false }: PosteriorDenoiserOptions = {}) {
    if (sameClass && !bank.labels) throw new RangeError(`posteriors by class need class labels; ${bank.name} has none`);
    this.shape = bank.shape;
    this.sigmaFloor = sigmaFloor;
    this.#bank = bank;
    this.#members = sameClass && bank.labels ? classMembers(bank.labels) : new Map();
  }

  get bytes(): number {
    return 0;
  }

  denoise(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    return scope(() => {
      const means = this.#each(x, sigma, classes, (_, { mean }) => mean.flatten(1));
      return means.to({ dtype: x.dtype }).view(x.shape);
    });
  }

  score(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    return scope(() => {
      const difference = this.denoise(x, sigma, classes).double().sub(x.double());
      const noise = sigma.map((level) => level ** 2);
      return difference.div(column(noise, difference)).to({ dtype: x.dtype });
    });
  }

  /**
   * ln p(x) = ln p(x, r) - ln p(r | x) for any image r of the bank. The most probable one is taken, from which the distance
   * to x is no larger than the noise.
   */
  logDensity(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    const { count, dimension } = this.#bank;
    return this.#each(x, sigma, classes, (rows, { logWeights, references }, levels) => {
      const [weights, places] = logWeights.maxAlong(1);
      const index = references === "all" ? places : tensor(references, { device: rows.device }).indexSelect(0, places);
      const nearest = this.#bank.rows.indexSelect(0, index).double();
      const distances = this.#bank.fromValues(rows).sub(nearest).div(this.#bank.unit).square().sum(1);
      const noise = column(
        levels.map((level) => level ** 2),
        distances,
      );
      const constants = noise
        .mul(2 * Math.PI)
        .log()
        .mul(dimension);
      const number = references === "all" ? count : references.length;
      return distances.div(noise).add(constants).div(-2).sub(Math.log(number)).sub(weights);
    });
  }

  /** What `compute` returns for the images of each class, in the order of the images. */
  #each(
    x: Tensor,
    sigma: Float64Array,
    classes: Int32Array | undefined,
    compute: (rows: Tensor, found: PartPosterior, sigma: Float64Array) => Tensor,
  ): Tensor {
    return noGrad(() =>
      scope(() => {
        const rows = rowsOf(this.shape, x, sigma, classes);
        const { channels, height, width } = this.shape;
        const groups = positionsOf(Array.from(sigma, (_, i) => this.#members.get(classes?.[i] ?? -1) ?? "all"));
        const parts = Array.from(groups, ([references, positions]) =>
          scope(() => {
            const part = rows.indexSelect(0, tensor(Int32Array.from(positions), { device: x.device }));
            const levels = Float64Array.from(positions, (position) => sigma[position] as number);
            const images = part.view([positions.length, channels, height, width]);
            return compute(part, { ...posterior(this.#bank, images, levels, { references }), references }, levels);
          }),
        );
        return inOrder([...groups.values()], parts);
      }),
    );
  }

  /** Nothing: the bank belongs to the caller. */
  dispose(): void {}
}

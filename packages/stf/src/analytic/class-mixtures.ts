/** A mixture of Gaussians for each class, for class-conditional networks. */

import { type Device, scope, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import type { Bank } from "../data/bank.js";
import { inOrder, positionsOf } from "../targets/groups.js";
import { type AnalyticDenoiser, rowsOf } from "./analytic-denoiser.js";
import { contentOrder } from "./content-order.js";
import { checkFit, fitInOrder, IMAGES_PER_COMPONENT, type MixtureOptions } from "./fit-mixture.js";
import type { LowRankMixture } from "./low-rank-mixture.js";

/** A mixture for all images, and one for each class that has enough of them. */
export class ClassMixtures implements AnalyticDenoiser {
  readonly shape: ImageShape;
  readonly sigmaFloor: number;
  /** That of all images, which is also that of every class without its own. */
  readonly whole: LowRankMixture;
  /** Those of classes. */
  readonly classes: ReadonlyMap<number, LowRankMixture>;

  /** Takes ownership of the mixtures, all of images of one shape and on one device. */
  constructor(whole: LowRankMixture, classes: ReadonlyMap<number, LowRankMixture>) {
    this.shape = whole.shape;
    this.sigmaFloor = whole.sigmaFloor;
    this.whole = whole;
    this.classes = classes;
  }

  get #all(): readonly LowRankMixture[] {
    return [this.whole, ...this.classes.values()];
  }

  get bytes(): number {
    return this.#all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** A copy on another device. */
  to(device: Device): ClassMixtures {
    const classes = new Map(Array.from(this.classes, ([label, mixture]) => [label, mixture.to(device)]));
    return new ClassMixtures(this.whole.to(device), classes);
  }

  denoise(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    return scope(() =>
      this.#each(x, sigma, classes, (mixture, part, levels) => mixture.denoise(part, levels)).view(x.shape),
    );
  }

  score(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    return scope(() =>
      this.#each(x, sigma, classes, (mixture, part, levels) => mixture.score(part, levels)).view(x.shape),
    );
  }

  logDensity(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
    return this.#each(x, sigma, classes, (mixture, part, levels) => mixture.logDensity(part, levels));
  }

  /** What `compute` returns for the images of each class, in the order of the images. */
  #each(
    x: Tensor,
    sigma: Float64Array,
    classes: Int32Array | undefined,
    compute: (mixture: LowRankMixture, rows: Tensor, sigma: Float64Array) => Tensor,
  ): Tensor {
    return scope(() => {
      const rows = rowsOf(this.shape, x, sigma, classes);
      if (!classes) return compute(this.whole, rows, sigma);
      const groups = positionsOf(Array.from(classes, (label) => this.classes.get(label) ?? this.whole));
      const parts = Array.from(groups, ([mixture, positions]) => {
        const index = tensor(Int32Array.from(positions), { device: x.device });
        const levels = Float64Array.from(positions, (position) => sigma[position] as number);
        return compute(mixture, rows.indexSelect(0, index), levels);
      });
      return inOrder([...groups.values()], parts);
    });
  }

  /** Frees the mixtures. */
  dispose(): void {
    for (const mixture of this.#all) mixture.dispose();
  }
}

/**
 * Fits a mixture to all images of a data set and one to each class of at least 100. Those of the classes together have as
 * many components and directions as that of all images, but at least one of each: the more classes, the coarser they are.
 * The rest is as for fitMixture.
 *
 * @throws InputError when there are fewer than 100 images; RangeError for options that are out of range, and without class
 * labels
 */
export function fitClassMixtures(bank: Bank, sigma: number, options: MixtureOptions = {}): ClassMixtures {
  checkFit(bank, sigma, options);
  const { labels, name } = bank;
  if (!labels) throw new RangeError(`mixtures by class need class labels; ${name} has none`);
  const { components = 10, rank = 64, seed = 0 } = options;
  const order = contentOrder(bank, seed, options.items);
  const members = [...positionsOf(order.map((item) => labels[item] as number))].filter(
    ([label, places]) => label >= 0 && places.length >= IMAGES_PER_COMPONENT,
  );
  const own = Math.max(1, Math.floor(components / Math.max(1, members.length)));
  const directions = Math.max(1, Math.min(rank, Math.floor((components * rank) / (own * Math.max(1, members.length)))));
  const classes = new Map<number, LowRankMixture>();
  try {
    for (const [label, places] of members) {
      const items = Int32Array.from(places, (place) => order[place] as number);
      classes.set(label, fitInOrder(bank, items, sigma, { ...options, components: own, rank: directions }));
    }
    return new ClassMixtures(fitInOrder(bank, order, sigma, options), classes);
  } catch (error) {
    for (const mixture of classes.values()) mixture.dispose();
    throw error;
  }
}

/** Images in the memory of several processes, each of which holds a part of them. */

import { type Device, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { partOf } from "../common/ranks.js";
import type { Items } from "./bank.js";
import { type Classes, ImageBank, replaced } from "./image-bank.js";

/** Processes that exchange rows. What is called on them is collective: all of them must, in the same order. */
export interface RowRanks {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Replaces a tensor by its sum over the processes. */
  sum(values: Tensor): void;
  /** The tensors of all processes, one after the other along the first axis, in which they may differ. */
  gatherRows(rows: Tensor): Tensor;
}

/** A data set of which each process holds the images that `partOf` gives it, in order, and knows the labels of all. */
export class DividedBank implements Items {
  readonly name: string;
  readonly shape: ImageBank["shape"];
  /** Number of images in all processes together. */
  readonly count: number;
  /** Class of each of them, or undefined. */
  readonly labels: Int32Array | undefined;
  /** Names of the classes by number, or undefined. */
  readonly classNames: readonly string[] | undefined;
  /** If there are no labels, where they were searched, as part of a sentence. */
  readonly unlabelled: string | undefined;
  readonly dimension: number;
  readonly unit: number;
  /** The images of this process. */
  readonly own: ImageBank;
  /** Number of the first of them among all. */
  readonly first: number;
  readonly #ranks: Pick<RowRanks, "rank" | "size">;

  /**
   * @param own - the images of this process; the new bank takes ownership
   * @param whole - the number and the classes of all images
   * @throws RangeError when `own` is not the part of this process
   */
  constructor(
    own: ImageBank,
    whole: { readonly count: number } & Classes,
    { rank, size }: Pick<RowRanks, "rank" | "size">,
  ) {
    const { first, end } = partOf(whole.count, { rank, size });
    if (own.count !== end - first) {
      throw new RangeError(`the part of process ${rank} must have ${end - first} images, found ${own.count}`);
    }
    this.name = own.name;
    this.shape = own.shape;
    this.dimension = own.dimension;
    this.unit = own.unit;
    this.count = whole.count;
    this.labels = whole.labels;
    this.classNames = whole.classNames;
    this.unlabelled = whole.unlabelled;
    this.own = own;
    this.first = first;
    this.#ranks = { rank, size };
  }

  /** The part of one process, copied from a bank with all images, which is disposed of. */
  static of(whole: ImageBank, ranks: Pick<RowRanks, "rank" | "size">): DividedBank {
    const { name, shape, pixels } = whole;
    const { first, end } = partOf(whole.count, ranks);
    const own = scope(() => new ImageBank(name, shape, pixels.narrow(0, first, end - first).clone()));
    whole.dispose();
    return new DividedBank(own, whole, ranks);
  }

  get device(): Device {
    return this.own.device;
  }

  /** The same on another device. This one is disposed of if it is on another. */
  movedTo(device: Device): DividedBank {
    if (device === this.device) return this;
    const moved = replaced(this.own, (own) => own.to(device));
    return new DividedBank(moved, this, this.#ranks);
  }

  /**
   * Images of any process, copied to all of them: a bank in which image `indices[i]` has number i.
   *
   * @param indices - the same in all processes
   */
  fetch(indices: Int32Array, ranks: RowRanks): ImageBank {
    const { name, shape, dimension, device, labels, first } = this;
    const isOwn = (index: number): boolean => index >= first && index < first + this.own.count;
    const places = Int32Array.from(indices.keys()).filter((place) => isOwn(indices[place] as number));
    const chosen = labels && indices.map((index) => labels[index] as number);
    return scope(() => {
      const rows = zeros([indices.length, dimension], { dtype: "uint8", device });
      const own = this.own.gather(places.map((place) => (indices[place] as number) - first));
      rows.indexCopy_(0, tensor(places, { device }).to({ dtype: "int64" }), own);
      ranks.sum(rows);
      return new ImageBank(name, shape, rows, { labels: chosen, classNames: this.classNames });
    });
  }

  toValues(rows: Tensor): Tensor {
    return this.own.toValues(rows);
  }

  fromValues(values: Tensor): Tensor {
    return this.own.fromValues(values);
  }

  /** Frees the images of this process. */
  dispose(): void {
    this.own.dispose();
  }
}

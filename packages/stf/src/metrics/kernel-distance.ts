/**
 * The kernel distance between two sets of features (Bińkowski et al. 2018; KID on Inception's features): the squared maximum
 * mean discrepancy with the cubic kernel k(a, b) = (a.b / d + 1)³, without bias for any number of images,
 *
 *     sum_(i != j) k(a_i, a_j) / (n (n - 1)) + sum_(i != j) k(b_i, b_j) / (m (m - 1)) - 2 sum_ij k(a_i, b_j) / (n m).
 */

import { Generator, randperm, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { type Estimate, meanOf } from "./estimate.js";
import { checkFeatures, forEachBlock } from "./feature-matrix.js";

/** Options of {@link kernelDistance}. */
export interface KernelDistanceOptions {
  /**
   * Number of disjoint blocks into which both sets are divided. When left out: blocks of at most 1000 images of the
   * smaller set, but at least 10 blocks, as far as they have two images each.
   */
  readonly blocks?: number;
  /** Decides which images share a block. 0 when left out. */
  readonly seed?: number;
  /** Called after each block. */
  readonly onProgress?: (done: number, total: number) => void;
}

const LARGEST_BLOCK = 1000;
const FEWEST_BLOCKS = 10;

function defaultBlocks(images: number): number {
  return Math.min(Math.floor(images / 2), Math.max(FEWEST_BLOCKS, Math.ceil(images / LARGEST_BLOCK)));
}

/** k of all pairs, float64 `[n, m]`. */
function kernel(a: Tensor, b: Tensor): Tensor {
  return a.mm(b.t()).div_(a.size(1)).add_(1).pow(3);
}

/** Part number `index` of `parts` nearly equal ones. */
function partOf(rows: Tensor, index: number, parts: number): Tensor {
  const at = (part: number): number => Math.floor((part * rows.size(0)) / parts);
  return rows.narrow(0, at(index), at(index + 1) - at(index));
}

/**
 * The mean of k over pairs of different items of one set: of at most {@link LARGEST_BLOCK} at a time, because the blocks of a
 * far larger set would dominate the cost, not the error.
 */
function meanWithin(rows: Tensor): number {
  const parts = Math.ceil(rows.size(0) / LARGEST_BLOCK);
  const means = Array.from({ length: parts }, (_, part) =>
    scope(() => {
      const items = partOf(rows, part, parts).double();
      const [values, count] = [kernel(items, items), items.size(0)];
      return (values.sum().item() - values.trace().item()) / (count * (count - 1));
    }),
  );
  return meanOf(means).value;
}

/** The mean of k over all pairs of one item of each set. */
function meanBetween(a: Tensor, b: Tensor): number {
  let sum = 0;
  forEachBlock(a.size(0), LARGEST_BLOCK, (first, length) => {
    const items = a.narrow(0, first, length).double();
    forEachBlock(b.size(0), LARGEST_BLOCK, (second, width) => {
      sum += kernel(items, b.narrow(0, second, width).double())
        .sum()
        .item();
    });
  });
  return sum / (a.size(0) * b.size(0));
}

/** The unbiased estimate from a block of each set. */
function unbiased(a: Tensor, b: Tensor): number {
  return meanWithin(a) + meanWithin(b) - 2 * meanBetween(a, b);
}

/** The images of block number `index` of `blocks`, in random order. */
function blockOf(features: Tensor, order: Tensor, index: number, blocks: number): Tensor {
  return features.indexSelect(0, partOf(order, index, blocks));
}

/**
 * The kernel distance: the mean over disjoint blocks, and its standard error from the spread between blocks. Its expectation is 0
 * for equal distributions, so it may be negative, and does not depend on the numbers of images. Sums are in
 * float64.
 *
 * @param a - features, `[N, d]`
 * @param b - features of other images, `[M, d]`
 * @throws InputError when the numbers of features differ, and for fewer than two images in each block.
 */
export function kernelDistance(a: Tensor, b: Tensor, options: KernelDistanceOptions = {}): Estimate {
  checkFeatures(a, b, 2);
  const smaller = Math.min(a.size(0), b.size(0));
  const { blocks = defaultBlocks(smaller), seed = 0, onProgress } = options;
  if (smaller < 2 * blocks) {
    throw new InputError(`${blocks} blocks need at least ${2 * blocks} images in each set, found ${smaller}`);
  }
  using generator = new Generator(seed);
  return scope(() => {
    const [orderA, orderB] = [a, b].map(({ device, shape }) =>
      randperm(shape[0] as number, { generator }).to({ device }),
    ) as [Tensor, Tensor];
    const estimates = Array.from({ length: blocks }, (_, index) => {
      const estimate = scope(() => unbiased(blockOf(a, orderA, index, blocks), blockOf(b, orderB, index, blocks)));
      onProgress?.(index + 1, blocks);
      return estimate;
    });
    return meanOf(estimates);
  });
}

/** The source image and the references of each training sample. */

import { KeyedRandom, randomKey } from "../random/keyed.js";

/**
 * The order of the data: epoch after epoch, each a fresh permutation. Sample number s of a run (counted from 0 over all
 * steps) is image `at(s)`, independent of the batch size and the number of processes.
 */
export class DataOrder {
  readonly #count: number;
  readonly #seed: number;
  #epoch = -1;
  #permutation: Int32Array = new Int32Array();

  /**
   * @param count - number of images, at least 1
   * @param seed - the seed of the run
   */
  constructor(count: number, seed: number) {
    this.#count = count;
    this.#seed = seed;
  }

  /** Index of the image of sample number `sample`. */
  at(sample: number): number {
    const epoch = Math.floor(sample / this.#count);
    if (epoch !== this.#epoch) {
      this.#permutation = new KeyedRandom(randomKey(this.#seed, "order", epoch)).permutation(this.#count);
      this.#epoch = epoch;
    }
    return this.#permutation[sample % this.#count] as number;
  }

  /** The images of `length` samples from number `first` on. */
  range(first: number, length: number): Int32Array {
    return Int32Array.from({ length }, (_, i) => this.at(first + i));
  }
}

/**
 * A pool of at least `size` different images that contains every source: the sources first, in order, then others drawn
 * without replacement. Given any one source, the rest of the pool is a uniform draw without replacement, so the pool is
 * exchangeable, which is what makes the stable target unbiased.
 *
 * @param sources - indices of the images of a step; one that occurs twice counts once
 * @param items - the candidates, including the sources: a list of indices, or a number for all below it
 * @returns `size` items, or all when there are fewer; more when there are more sources
 */
export function drawPool(
  sources: Int32Array,
  size: number,
  items: number | Int32Array,
  random: KeyedRandom,
): Int32Array {
  const count = typeof items === "number" ? items : items.length;
  const itemAt = (position: number): number => (typeof items === "number" ? position : (items[position] as number));
  const pool = new Set(sources);
  const wanted = Math.min(Math.max(size, pool.size), count);
  if (wanted > count / 2) {
    // Rejection sampling would slow down towards the end; a shuffled list of all items does not.
    for (const position of random.permutation(count)) {
      if (pool.size >= wanted) break;
      pool.add(itemAt(position));
    }
  } else {
    while (pool.size < wanted) pool.add(itemAt(random.integer(count)));
  }
  return Int32Array.from(pool);
}

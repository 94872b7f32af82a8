/** The noisy samples of an analysis. */

import { Generator, randn, scope, type Tensor } from "@stf/torch";
import type { Bank } from "../data/bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";

/** Samples of a bank, by number: each has a source and noise of its own, which depend on nothing but the seed. */
export class NoisySamples {
  /** The sources. */
  readonly bank: Bank;
  readonly #seed: number;
  readonly #order: Int32Array;

  constructor(bank: Bank, seed: number) {
    this.bank = bank;
    this.#seed = seed;
    this.#order = new KeyedRandom(randomKey(seed, "analysis")).permutation(bank.count);
  }

  /** The source of a sample: items in random order, all of them before one is taken again. */
  sourceOf(sample: number): number {
    return this.#order[sample % this.#order.length] as number;
  }

  /** Standard normal noise, float32 `[1, D]`; drawn on the CPU, so that it is the same on every device. */
  noiseOf(sample: number): Tensor {
    const { dimension, device } = this.bank;
    return scope(() => {
      using generator = new Generator(randomKey(this.#seed, "analysis", sample + 1));
      return randn([1, dimension], { generator }).to({ device });
    });
  }

  /** Random numbers for anything else that belongs to a sample. */
  randomOf(sample: number): KeyedRandom {
    return new KeyedRandom(randomKey(this.#seed, "references", sample));
  }
}

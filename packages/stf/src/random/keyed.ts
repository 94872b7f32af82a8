/**
 * Randomness that depends on its purpose, not on earlier draws: every number comes from (seed, purpose, index).
 * The index is usually the global number of a training sample, so the batch split, the micro-batches and an interruption
 * change nothing.
 */

const MASK = (1n << 64n) - 1n;

/** The purpose of a random number. Equal seeds and indices give unrelated numbers for different purposes. */
export type Purpose =
  | "weights"
  | "order"
  | "noiseLevel"
  | "noise"
  | "references"
  | "dropout"
  | "augmentation"
  | "labelDropout"
  | "data"
  | "dequantization"
  | "probes"
  | "heldOut"
  | "analysis"
  | "bias"
  | "analytic"
  | "handOver";

const purposes = {
  weights: 1,
  order: 2,
  noiseLevel: 3,
  noise: 4,
  references: 5,
  dropout: 6,
  augmentation: 7,
  labelDropout: 8,
  data: 9,
  dequantization: 10,
  probes: 11,
  heldOut: 12,
  analysis: 13,
  bias: 14,
  analytic: 15,
  handOver: 16,
} as const satisfies Record<Purpose, number>;

/** The finaliser of SplitMix64 (Steele, Lea and Flood 2014): a bijection of 64-bit numbers without visible structure. */
function mix(value: bigint): bigint {
  let z = value & MASK;
  z = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & MASK;
  z = ((z ^ (z >> 27n)) * 0x94d049bb133111ebn) & MASK;
  return z ^ (z >> 31n);
}

/**
 * A 64-bit key for (seed, purpose, index), from 0 to 2^64 - 1. `seed` and `index` are whole numbers.
 *
 * @throws RangeError when one of them is not.
 */
export function randomKey(seed: number, purpose: Purpose, index = 0): bigint {
  const stream = mix(BigInt(seed) + (BigInt(purposes[purpose]) << 56n));
  return mix(stream + BigInt(index) * 0x9e3779b97f4a7c15n);
}

/** A stream of numbers from one key: xoshiro128** (Blackman and Vigna 2018). */
export class KeyedRandom {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** @param key - a number from {@link randomKey} */
  constructor(key: bigint) {
    const low = mix(key);
    const high = mix(low + 0x9e3779b97f4a7c15n);
    this.#a = Number(low & 0xffffffffn) | 0;
    this.#b = Number(low >> 32n) | 0;
    this.#c = Number(high & 0xffffffffn) | 0;
    // The all-zero state is the only fixed point.
    this.#d = Number(high >> 32n) | 1;
  }

  #next(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result;
  }

  /** Uniform on [0, 1), with 53 random bits. */
  uniform(): number {
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /** Standard normal (Box and Muller 1958). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** A whole number from 0 to bound - 1, all equally likely. `bound` is from 1 to 2^32. */
  integer(bound: number): number {
    // Values above the largest multiple of the bound would bias towards small remainders.
    const limit = 2 ** 32 - (2 ** 32 % bound);
    for (;;) {
      const value = this.#next();
      if (value < limit) return value % bound;
    }
  }

  /** The numbers 0 to count - 1 in random order. */
  permutation(count: number): Int32Array {
    const order = Int32Array.from({ length: count }, (_, i) => i);
    for (let i = count - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swapped = order[i] as number;
      order[i] = order[j] as number;
      order[j] = swapped;
    }
    return order;
  }
}

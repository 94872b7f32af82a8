/** NumPy's `RandomState`, as far as the published tools choose images with it. */

const SIZE = 624;
const SHIFT = 397;

/** The Mersenne Twister MT19937 (Matsumoto and Nishimura 1998) in NumPy's legacy form: the same seed gives the same numbers. */
export class RandomState {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /** @param seed - a whole number; its low 32 bits are used */
  constructor(seed: number) {
    this.#state[0] = seed >>> 0;
    for (let i = 1; i < SIZE; i++) {
      const previous = this.#state[i - 1] as number;
      this.#state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const bits = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % SIZE] as number) & 0x7fffffff);
      state[i] = (state[(i + SHIFT) % SIZE] as number) ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }

  /** A whole number of 32 bits. */
  #bits(): number {
    if (this.#next === SIZE) this.#twist();
    let value = this.#state[this.#next++] as number;
    value ^= value >>> 11;
    value ^= (value << 7) & 0x9d2c5680;
    value ^= (value << 15) & 0xefc60000;
    return (value ^ (value >>> 18)) >>> 0;
  }

  /** A whole number from 0 to `most`, below 2^32: masked bits, drawn again if they are above. */
  #upTo(most: number): number {
    const mask = 2 ** (32 - Math.clz32(most)) - 1;
    for (;;) {
      const value = (this.#bits() & mask) >>> 0;
      if (value <= most) return value;
    }
  }

  /** Shuffles in place, as `RandomState.shuffle`. */
  shuffle(items: Int32Array): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.#upTo(i);
      const item = items[i] as number;
      items[i] = items[j] as number;
      items[j] = item;
    }
  }
}

/**
 * The images that the published tools choose: `amount` of `count` at random, in ascending order; all if there are no more.
 *
 * @param seed - of {@link RandomState}; its low 31 bits are used
 */
export function chosenSubset(count: number, amount: number, seed: number): Int32Array {
  const indices = Int32Array.from({ length: count }, (_, i) => i);
  if (amount >= count) return indices;
  new RandomState(seed % 2 ** 31).shuffle(indices);
  return indices.slice(0, amount).sort();
}

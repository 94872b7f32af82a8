/** Random numbers and random damage for the long tests, the same for the same seed. */

/** Whole numbers that look random (mulberry32). */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to `limit - 1`. */
  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * limit);
  }

  /** True once in `times` times. */
  once(times: number): boolean {
    return this.below(times) === 0;
  }

  /** One of the elements. */
  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)] as T;
  }

  /** A stretch of `length` bytes: where it begins and ends. Mostly short ones. */
  stretch(length: number): [begin: number, end: number] {
    const begin = this.below(length + 1);
    const longest = this.once(4) ? length : 16;
    return [begin, Math.min(length, begin + 1 + this.below(longest + 1))];
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => this.below(256));
  }
}

/** Where sizes, counts and offsets go wrong. */
const limits = [0n, 1n, 0x7fn, 0x80n, 0xffn, 0x7fffn, 0xffffn, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 63n];
/** What headers made of text consist of. */
const text = [..."0123456789-.eE\"'{}[](),:\\/\n\0 ", "null", "1e400", '"__proto__"', "99999999999999999999", "[[[["];

const join = (...parts: Uint8Array[]): Uint8Array => Buffer.concat(parts);

type Damage = (bytes: Uint8Array, dice: Dice) => Uint8Array;

const kinds: readonly Damage[] = [
  function flipOneBit(bytes, dice) {
    const at = dice.below(bytes.length);
    return bytes.with(at, bytes[at]! ^ (1 << dice.below(8)));
  },
  function replaceOneByte(bytes, dice) {
    return bytes.with(dice.below(bytes.length), dice.below(256));
  },
  function replaceByALimit(bytes, dice) {
    const width = dice.pick([1, 2, 4, 8]);
    const value = dice.pick(limits) + BigInt(dice.below(3)) - 1n;
    const number = Uint8Array.from({ length: width }, (_, i) => Number(BigInt.asUintN(8, value >> BigInt(8 * i))));
    const at = dice.below(bytes.length);
    return join(bytes.subarray(0, at), dice.once(2) ? number : number.reverse(), bytes.subarray(at + width));
  },
  function replaceText(bytes, dice) {
    const piece = Buffer.from(dice.pick(text));
    const at = dice.below(bytes.length);
    return join(bytes.subarray(0, at), piece, bytes.subarray(at + dice.below(2) * piece.length));
  },
  function cut(bytes, dice) {
    return bytes.subarray(0, dice.below(bytes.length));
  },
  function remove(bytes, dice) {
    const [begin, end] = dice.stretch(bytes.length);
    return join(bytes.subarray(0, begin), bytes.subarray(end));
  },
  function insert(bytes, dice) {
    const at = dice.below(bytes.length);
    return join(bytes.subarray(0, at), dice.bytes(1 + dice.below(16)), bytes.subarray(at));
  },
  function repeat(bytes, dice) {
    const [begin, end] = dice.stretch(bytes.length);
    return join(bytes.subarray(0, end), bytes.subarray(begin));
  },
  function blank(bytes, dice) {
    const [begin, end] = dice.stretch(bytes.length);
    return Uint8Array.from(bytes).fill(dice.pick([0, 0xff]), begin, end);
  },
  function copyElsewhere(bytes, dice) {
    const [begin, end] = dice.stretch(bytes.length);
    return Uint8Array.from(bytes).copyWithin(dice.below(bytes.length), begin, end);
  },
];

/** A damaged copy: one to four kinds of damage, one after the other. */
export function damaged(valid: Uint8Array, dice: Dice): Uint8Array {
  let bytes = valid;
  do {
    if (bytes.length > 0) bytes = dice.pick(kinds)(bytes, dice);
  } while (dice.once(3));
  return bytes;
}

/**
 * A random order of images that depends on their content and a seed, not on the order in which they are stored. Draws that
 * follow it are the same for the same images, however a data set is sorted.
 */

import { createHash } from "node:crypto";
import { scope } from "@stf/torch";
import type { Bank } from "../data/bank.js";

/** Values whose bytes are copied at a time. */
const VALUES_AT_ONCE = 2 ** 22;

/**
 * The indices of a bank's items, sorted by the SHA-256 of the seed and their values. Equal items are next to each other, by
 * index.
 *
 * @param items - the indices to sort; all when left out
 */
export function contentOrder({ rows, count, dimension }: Bank, seed: number, items?: Int32Array): Int32Array {
  const keys = new BigUint64Array(count);
  const step = Math.max(1, Math.floor(VALUES_AT_ONCE / dimension));
  for (let first = 0; first < count; first += step) {
    const length = Math.min(step, count - first);
    const { buffer, byteOffset, byteLength } = scope(() => rows.narrow(0, first, length).toTypedArray());
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    const size = byteLength / length;
    for (let i = 0; i < length; i++) {
      const hash = createHash("sha256")
        .update(`${seed} `)
        .update(bytes.subarray(i * size, (i + 1) * size));
      keys[first + i] = hash.digest().readBigUInt64LE();
    }
  }
  const order = items ?? Int32Array.from({ length: count }, (_, i) => i);
  const key = (i: number): bigint => keys[i] as bigint;
  return order.slice().sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : a - b));
}

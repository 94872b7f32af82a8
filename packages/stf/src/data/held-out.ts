/**
 * Images that are kept from training, so that they tell learning from memorising. An image counts as its mirror image, with which
 * it would be trained on in a mirrored data set, and identical images stay together.
 */

import { createHash } from "node:crypto";
import { scope } from "@stf/torch";
import { ImageBank } from "./image-bank.js";

/** Images whose bytes are copied at a time. */
const IMAGES_AT_ONCE = 4096;

/** 64 bits of each row's digest. */
function digestsOf(rows: Uint8Array, dimension: number): BigUint64Array {
  return BigUint64Array.from({ length: rows.length / dimension }, (_, i) =>
    createHash("sha256")
      .update(rows.subarray(i * dimension, (i + 1) * dimension))
      .digest()
      .readBigUInt64LE(),
  );
}

/** A number for the content of each image, the same for its mirror image, `[count]`; that of others differs. */
function contentOf({ pixels, count, dimension, shape }: ImageBank): BigUint64Array {
  const { channels, height, width } = shape;
  const keys = new BigUint64Array(count);
  for (let first = 0; first < count; first += IMAGES_AT_ONCE) {
    const length = Math.min(IMAGES_AT_ONCE, count - first);
    const [plain, mirrored] = scope(() => {
      const rows = pixels.narrow(0, first, length);
      const flipped = rows.view([length, channels * height, width]).flip([2]);
      return [rows, flipped].map((images) => digestsOf(images.toTypedArray() as Uint8Array, dimension));
    }) as [BigUint64Array, BigUint64Array];
    keys.set(plain, first);
    mirrored.forEach((key, i) => {
      if (key < (plain[i] as bigint)) keys[first + i] = key;
    });
  }
  return keys;
}

/** Two parts of a bank, by index in ascending order. */
export interface BankDivision {
  /** Images to train on. */
  readonly training: Int32Array;
  /** Images that are kept from it. */
  readonly heldOut: Int32Array;
}

/**
 * Divides images by their content alone: those with the smallest digests are held out. So the same images give the same division,
 * whatever their order, format, labels or the seed of a run. Identical images are on the same side, which may make the held-out part
 * larger than asked for.
 *
 * @param share - of the images, in (0, 1); their number is rounded
 */
export function divideImages(bank: ImageBank, share: number): BankDivision {
  const keys = contentOf(bank);
  const wanted = Math.round(share * bank.count);
  const limit = keys.slice().sort()[wanted - 1];
  const all = Int32Array.from({ length: bank.count }, (_, i) => i);
  const isHeldOut = (i: number): boolean => limit !== undefined && (keys[i] as bigint) <= limit;
  return { training: all.filter((i) => !isHeldOut(i)), heldOut: all.filter(isHeldOut) };
}

/** The images of a bank that are not in another one, by index in ascending order, as they are or mirrored. */
export function imagesNotIn(bank: ImageBank, other: ImageBank): Int32Array {
  const known = new Set(contentOf(other));
  const keys = contentOf(bank);
  return Int32Array.from({ length: bank.count }, (_, i) => i).filter((i) => !known.has(keys[i] as bigint));
}

/** A bank with a copy of some images of another, in the given order. */
export function selectImages(bank: ImageBank, indices: Int32Array): ImageBank {
  const { name, shape, labels, classNames, unlabelled } = bank;
  const chosen = labels && indices.map((index) => labels[index] as number);
  return scope(() => new ImageBank(name, shape, bank.gather(indices), { labels: chosen, classNames, unlabelled }));
}

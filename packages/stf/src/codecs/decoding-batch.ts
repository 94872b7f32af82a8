/** What threads send each other: the bytes of several files or images, in one piece. */

import type { Planes } from "./quick-decode.js";

/** Pieces one after the other. */
export interface FileBatch {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where each piece ends. */
  readonly ends: readonly number[];
}

/** Images; undefined channels for those that were not decoded. */
export interface DecodedBatch extends FileBatch {
  readonly channels: readonly (Planes["channels"] | undefined)[];
}

/** Pieces in one. */
export function packed(pieces: readonly Uint8Array[]): FileBatch {
  let size = 0;
  const ends = pieces.map((piece) => {
    size += piece.length;
    return size;
  });
  const bytes = new Uint8Array(size);
  pieces.forEach((piece, i) => void bytes.set(piece, (ends[i] as number) - piece.length));
  return { bytes, ends };
}

/** The pieces again. */
export function unpacked({ bytes, ends }: FileBatch): Uint8Array[] {
  return ends.map((end, i) => bytes.subarray(ends[i - 1] ?? 0, end));
}

/** The chunks of a PNG file. */

import { crc32 } from "./crc32.js";

/** Where a PNG file's chunks begin: after its signature. */
export const SIGNATURE_BYTES = 8;

/** One chunk of a PNG file. */
export interface PngChunk {
  /** Four letters; the first is a capital if the pixels depend on the chunk. */
  readonly type: string;
  readonly data: Uint8Array;
  /** Type and data, which the checksum is of. */
  readonly content: Uint8Array;
  /** The checksum of type and data stated in the file. */
  readonly stated: number | undefined;
}

/** An encoded chunk with a correct checksum. */
export function encodeChunk(type: string, data: Uint8Array = new Uint8Array()): Buffer {
  const content = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(content), 4);
  return Buffer.concat([numbers.subarray(0, 4), content, numbers.subarray(4)]);
}

/** The chunks up to the last one, `IEND`, or to the end of a truncated file; checksums are not verified. */
export function* pngChunks(bytes: Uint8Array): Generator<PngChunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let position = SIGNATURE_BYTES; position + 8 <= bytes.length; ) {
    const start = position + 8;
    const end = start + view.getUint32(position);
    if (end > bytes.length) return;
    const type = String.fromCharCode(...bytes.subarray(position + 4, start));
    const stated = end + 4 <= bytes.length ? view.getUint32(end) : undefined;
    yield { type, data: bytes.subarray(start, end), content: bytes.subarray(start - 4, end), stated };
    if (type === "IEND") return;
    position = end + 4;
  }
}

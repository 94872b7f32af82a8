import { deflateSync } from "node:zlib";
import type { Picture } from "./lanczos.js";
import { encodeChunk } from "./png-chunks.js";

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const END = encodeChunk("IEND");
/** Colour types by the number of channels. */
const GREY = 0;
const RGB = 2;

/**
 * An image as a PNG without compression and filters, the format of the published data sets: as large as its pixels, but read
 * several times as fast as a compressed one. Equal images give equal bytes.
 *
 * @param picture - 1 or 3 channels
 */
export function encodeStoredPng({ pixels, width, height, channels }: Picture): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = channels === 1 ? GREY : RGB;
  const stride = width * channels;
  const rows = new Uint8Array(height * (1 + stride));
  for (let y = 0; y < height; y++) rows.set(pixels.subarray(y * stride, (y + 1) * stride), y * (1 + stride) + 1);
  return Buffer.concat([
    SIGNATURE,
    encodeChunk("IHDR", header),
    encodeChunk("IDAT", deflateSync(rows, { level: 0 })),
    END,
  ]);
}

/** Files with intact pixels among damaged bytes: those bytes are left out, so that a strict decoder reads the rest. */

import { constants, deflateSync, inflateSync } from "node:zlib";
import type { ImageHeader } from "./image-header.js";
import { type JpegSegment, jpegSegments, SCAN } from "./jpeg-segments.js";
import { encodeChunk, type PngChunk, pngChunks, SIGNATURE_BYTES } from "./png-chunks.js";

const JPEG_END = Buffer.of(0xff, 0xd9);
const PNG_END = encodeChunk("IEND");

/** Whether bytes follow the image, or its end is missing. */
export function hasOddEnd(bytes: Uint8Array, { format }: ImageHeader): boolean {
  const end = format === "png" ? PNG_END : JPEG_END;
  return !end.equals(bytes.subarray(-end.length));
}

/** The chunk, encoded again. @throws Error when its checksum is wrong, because all pixels depend on it */
function verified(chunk: PngChunk): Buffer {
  const encoded = encodeChunk(chunk.type, chunk.data);
  if (encoded.readUInt32BE(encoded.length - 4) !== chunk.stated) throw new Error(`${chunk.type} has a wrong checksum`);
  return encoded;
}

/**
 * A PNG with only the chunks that define pixels. The checksum of chunks with compressed data may be wrong: the compressed data
 * have their own, which must be right if present.
 */
function mendPng(bytes: Uint8Array, { height, width, channels, depth, plain }: ImageHeader): Uint8Array {
  const chunks = Array.from(pngChunks(bytes));
  const packed = Buffer.concat(chunks.filter(({ type }) => type === "IDAT").map(({ data }) => data));
  const rows = inflateSync(packed, { finishFlush: constants.Z_SYNC_FLUSH });
  const size = height * (1 + Math.ceil((width * channels * depth) / 8));
  if (plain && rows.length < size) throw new Error("it ends too early");
  return Buffer.concat([
    bytes.subarray(0, SIGNATURE_BYTES),
    ...chunks.filter(({ type }) => type === "IHDR" || type === "PLTE").map(verified),
    encodeChunk("IDAT", deflateSync(plain ? rows.subarray(0, size) : rows, { level: 0 })),
    PNG_END,
  ]);
}

/** The header of a PNG and its EXIF data, which may be anywhere in it, as a PNG without pixels. */
export function exifOfPng(bytes: Uint8Array): Uint8Array {
  const chunks = Array.from(pngChunks(bytes)).filter(({ type }) => type === "IHDR" || type === "eXIf");
  const encoded = chunks.map(({ type, data }) => encodeChunk(type, data));
  return Buffer.concat([bytes.subarray(0, SIGNATURE_BYTES), ...encoded, encodeChunk("IDAT"), PNG_END]);
}

const ADOBE = 0xee;
const isApplication = (marker: number): boolean => (marker >= 0xe0 && marker <= 0xef) || marker === 0xfe;

/** Adobe's segment on colour storage, with an unknown value replaced by the one decoders assume; undefined for other segments. */
function adobeSegment(bytes: Uint8Array, { start, end }: JpegSegment, channels: number): Uint8Array | undefined {
  const content = Buffer.from(bytes.subarray(start, end));
  if (content.length < 12 || content.toString("latin1", 0, 5) !== "Adobe") return undefined;
  if ((content[11] as number) > 2) content[11] = channels === 4 ? 2 : 1;
  return content;
}

/** A JPEG with only the segments that define pixels. */
function mendJpeg(bytes: Uint8Array, { channels }: ImageHeader): Uint8Array {
  const parts: Uint8Array[] = [bytes.subarray(0, 2)];
  for (const segment of jpegSegments(bytes)) {
    const { marker, start, end } = segment;
    const isJfif = marker === 0xe0 && Buffer.from(bytes.subarray(start, start + 5)).equals(Buffer.from("JFIF\0"));
    const content = marker === ADOBE ? adobeSegment(bytes, segment, channels) : bytes.subarray(start, end);
    if (!content || (isApplication(marker) && marker !== ADOBE && !isJfif)) continue;
    const length = content.length + 2;
    parts.push(Buffer.of(0xff, marker, length >> 8, length & 0xff), content);
    if (marker === SCAN) parts.push(bytes.subarray(end));
  }
  return Buffer.concat(parts);
}

/**
 * The same image without anything that its pixels do not depend on: other chunks and segments, and stray bytes.
 *
 * @throws Error when the pixels themselves are damaged
 */
export function mendImage(bytes: Uint8Array, header: ImageHeader): Uint8Array {
  return header.format === "png" ? mendPng(bytes, header) : mendJpeg(bytes, header);
}

/** The header of a PNG or JPEG file, read without decoding it. */

import { jpegSegments } from "./jpeg-segments.js";
import { pngChunks } from "./png-chunks.js";

export interface ImageHeader {
  readonly format: "png" | "jpeg";
  readonly width: number;
  readonly height: number;
  /** Stored channels, including alpha; a palette counts as colour. */
  readonly channels: number;
  /** Bits of one stored value, or of an index into the palette. */
  readonly depth: number;
  /** Whether the rows are stored once from top to bottom, without a palette: neither interlaced nor progressive. */
  readonly plain: boolean;
  /** Whether there is EXIF data, which may give an orientation. */
  readonly exif: boolean;
}

const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const HEADER_CHUNK = 0x49484452;
const PALETTE = 3;
/** Channels by the colour type of PNG: grey, RGB, palette, grey with alpha, RGB with alpha. */
const pngChannels: Readonly<Record<number, number>> = { 0: 1, 2: 3, [PALETTE]: 3, 4: 2, 6: 4 };

function readPngHeader(bytes: Uint8Array, view: DataView): ImageHeader | undefined {
  // Signature; length and name of the first chunk; width, height, depth, colour type, compression, filter, interlace.
  if (view.byteLength < 29 || view.getUint32(12) !== HEADER_CHUNK) return undefined;
  const type = view.getUint8(25);
  const channels = pngChannels[type];
  if (channels === undefined) return undefined;
  return {
    format: "png",
    width: view.getUint32(16),
    height: view.getUint32(20),
    channels,
    depth: view.getUint8(24),
    plain: type !== PALETTE && view.getUint8(28) === 0,
    exif: Array.from(pngChunks(bytes)).some((chunk) => chunk.type === "eXIf"),
  };
}

const BASELINE = 0xc0;
const EXIF = 0xe1;
/** Markers in the range of frame headers that are not frame headers: Huffman tables, reserved, arithmetic coding. */
const notFrames = new Set([0xc4, 0xc8, 0xcc]);

function readJpegHeader(bytes: Uint8Array, view: DataView): ImageHeader | undefined {
  let exif = false;
  for (const { marker, start, end } of jpegSegments(bytes)) {
    if (marker === EXIF) exif ||= bytes[start] === 0x45; // "Exif"; the other kind begins with "http"
    if (marker < 0xc0 || marker > 0xcf || notFrames.has(marker) || start + 6 > end) continue;
    return {
      format: "jpeg",
      depth: view.getUint8(start),
      height: view.getUint16(start + 1),
      width: view.getUint16(start + 3),
      channels: view.getUint8(start + 5),
      plain: marker === BASELINE,
      exif,
    };
  }
  return undefined;
}

/** The header of a PNG or JPEG file, recognised by content; undefined if it is neither, or ends before the size. */
export function readImageHeader(bytes: Uint8Array): ImageHeader | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (PNG_SIGNATURE.every((byte, i) => bytes[i] === byte)) return readPngHeader(bytes, view);
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? readJpegHeader(bytes, view) : undefined;
}

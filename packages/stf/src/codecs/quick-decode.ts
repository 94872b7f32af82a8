/**
 * Decoders for the plain images of which data sets are made, at a small part of what sharp costs for each image: PNG by
 * @napi-rs/image, JPEG by libjpeg-turbo in WebAssembly. They take what is beyond doubt and leave the rest to decode.ts.
 */

import { createRequire } from "node:module";
import { crc32 } from "./crc32.js";
import { type ImageHeader, readImageHeader } from "./image-header.js";
import { hasOneScan } from "./jpeg-segments.js";
import { hasOddEnd } from "./mend.js";
import { deinterleave } from "./planes.js";
import { type PngChunk, pngChunks } from "./png-chunks.js";

/** An image in the order C, H, W: one channel if it is stored as grey, else RGB; without alpha. */
export interface Planes {
  readonly bytes: Uint8Array;
  readonly channels: 1 | 3;
}

/** Pixels in the order H, W, channels. @throws for any damage that it notices */
type Decode = (bytes: Uint8Array) => Uint8Array;

/** Larger images are decoded as fast by sharp, or faster. */
const MOST_PIXELS = { jpeg: 2 ** 17, png: 2 ** 22 } as const;

/** Whether images of a header's size and format may be decoded quickly. */
export function isQuickSize({ format, width, height }: ImageHeader): boolean {
  return width * height <= MOST_PIXELS[format];
}

/** Chunks that no pixel depends on, and whether one is as it should be. All other chunks but those of the pixels are left to others. */
const harmless: Readonly<Record<string, (data: Uint8Array) => boolean>> = {
  gAMA: () => true,
  cHRM: () => true,
  sRGB: () => true,
  bKGD: () => true,
  sBIT: () => true,
  tIME: () => true,
  pHYs: (data) => data.length === 9,
  // A keyword of 1 to 79 letters, a zero, and text.
  tEXt: (data) => data.indexOf(0) > 0 && data.indexOf(0) < 80,
};

function isWhole({ type, data, content, stated }: PngChunk, index: number): boolean {
  const isExpected = index === 0 ? type === "IHDR" && data.length === 13 : type === "IDAT" || type === "IEND";
  return (isExpected || harmless[type]?.(data) === true) && crc32(content) === stated;
}

function isQuickPng(bytes: Uint8Array, { plain, depth }: ImageHeader): boolean {
  if (!plain || depth !== 8) return false;
  const chunks = Array.from(pngChunks(bytes));
  return chunks.at(-1)?.type === "IEND" && chunks.every(isWhole);
}

/** Between scans, the decoder passes over stray bytes without a word. */
const isQuickJpeg = (bytes: Uint8Array, { channels, depth, exif }: ImageHeader): boolean =>
  depth === 8 && (channels === 1 || channels === 3) && !exif && hasOneScan(bytes);

async function loadPng(): Promise<Decode> {
  const { Transformer } = createRequire(import.meta.url)("@napi-rs/image") as typeof import("@napi-rs/image");
  return (bytes) => new Transformer(bytes).rawPixelsSync();
}

/** What is used of the package, which has no types. */
interface JpegModule {
  readonly JPEGDecoder: new () => {
    /** Memory of the module for a file. */
    getEncodedBuffer(length: number): Uint8Array;
    /** @throws a number when libjpeg-turbo gives an error or a warning */
    decode(): void;
    /** A copy of the pixels. */
    getDecodedBuffer(): Uint8ClampedArray;
  };
}

async function loadJpeg(): Promise<Decode> {
  const require = createRequire(import.meta.url);
  const name = "@cornerstonejs/codec-libjpeg-turbo-8bit";
  const load = require(`${name}/decodewasmjs`) as (options: object) => Promise<JpegModule>;
  const { JPEGDecoder } = await load({ locateFile: () => require.resolve(`${name}/decodewasm`) });
  const decoder = new JPEGDecoder();
  return (bytes) => {
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    const { buffer, byteOffset, byteLength } = decoder.getDecodedBuffer();
    return new Uint8Array(buffer, byteOffset, byteLength);
  };
}

/** The decoders of this thread. */
export class QuickDecoder {
  readonly #decoders: Readonly<Record<ImageHeader["format"], Decode | undefined>>;

  private constructor(jpeg: Decode | undefined, png: Decode | undefined) {
    this.#decoders = { jpeg, png };
  }

  /** Loads them; one that does not exist for this platform is left out. */
  static async load(): Promise<QuickDecoder> {
    const missing = (): undefined => undefined;
    return new QuickDecoder(await loadJpeg().catch(missing), await loadPng().catch(missing));
  }

  /** The image in a file, exactly as decode.ts reads it; undefined if that should look at it, because the file is not plain and whole. */
  decode(bytes: Uint8Array): Planes | undefined {
    const header = readImageHeader(bytes);
    if (!header || !isQuickSize(header) || hasOddEnd(bytes, header)) return undefined;
    const { width, height, channels, format } = header;
    if (!(format === "png" ? isQuickPng(bytes, header) : isQuickJpeg(bytes, header))) return undefined;
    try {
      const pixels = this.#decoders[format]?.(bytes);
      if (pixels?.length !== width * height * channels) return undefined;
      const kept = channels < 3 ? 1 : 3;
      return { bytes: deinterleave(pixels, { channels: kept, height, width }, channels), channels: kept };
    } catch {
      return undefined;
    }
  }
}

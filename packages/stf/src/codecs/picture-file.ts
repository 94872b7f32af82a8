/** Image files of all supported formats, with what is known before decoding, as grey or RGB pixels. */

import { firstLine, InputError } from "../common/errors.js";
import { decodeImage, imageFile } from "./decode.js";
import { readImageHeader } from "./image-header.js";
import type { Picture } from "./lanczos.js";
import { isOnItsSide } from "./orientation.js";
import { interleave } from "./planes.js";
import { isQuickSize, QuickDecoder } from "./quick-decode.js";
import { loadSharp } from "./sharp.js";

/** An image as it is stored. */
export interface PictureFile {
  /** In messages. */
  readonly name: string;
  /** "png", "jpeg", "webp", "gif", "tiff", "avif", "bmp", or "array". */
  readonly format: string;
  /** In pixels, after applying the orientation. */
  readonly width: number;
  /** In pixels, after applying the orientation. */
  readonly height: number;
  /** Stored colours: grey values, RGB (or what becomes RGB, such as CMYK), or indices into a palette. */
  readonly mode: "grey" | "rgb" | "palette";
  /** Whether transparency may be stored for each pixel. */
  readonly hasAlpha: boolean;
  /** Bits of one stored value, or of an index. */
  readonly depth: number;
  /** Whether the EXIF orientation turns or mirrors it. */
  readonly isTurned: boolean;
  /** @throws InputError naming the file when it is damaged */
  decode(): Promise<DecodedPicture>;
}

/** Pixels of a {@link PictureFile}. */
export interface DecodedPicture {
  /** 1 or 3 channels; transparent pixels have the colour that is stored under them. */
  readonly picture: Picture;
  /** One byte per pixel, 0 transparent to 255 opaque, if anything is transparent. */
  readonly alpha: Uint8Array | undefined;
  /** Whether the pixels are intact while other bytes of the file are damaged or stray. */
  readonly isOdd: boolean;
}

/** The largest image that is decoded, in pixels. */
const MAX_PIXELS = 2 ** 27;
const PNG_COLOUR_TYPE = 25;
const PALETTE = 3;

/** Separates alpha from colours. A grey image with three equal channels gets one. */
function separated(
  bytes: Uint8Array,
  stored: number,
  isGrey: boolean,
  { width, height }: { readonly width: number; readonly height: number },
): DecodedPicture {
  const channels = isGrey ? 1 : 3;
  const area = width * height;
  let pixels = bytes;
  if (stored !== channels) {
    pixels = new Uint8Array(area * channels);
    for (let i = 0; i < area; i++) {
      for (let c = 0; c < channels; c++) pixels[i * channels + c] = bytes[i * stored + c] as number;
    }
  }
  let alpha: Uint8Array | undefined;
  if (stored % 2 === 0) {
    const own = Uint8Array.from({ length: area }, (_, i) => bytes[(i + 1) * stored - 1] as number);
    if (own.some((value) => value < 255)) alpha = own;
  }
  return { picture: { pixels, width, height, channels }, alpha, isOdd: false };
}

let quick: Promise<QuickDecoder> | undefined;

async function pngOrJpeg(name: string, bytes: Uint8Array): Promise<PictureFile> {
  const file = await imageFile(name, bytes);
  const { header, orientation, width, height } = file;
  const { format, channels, depth } = header;
  const isPalette = format === "png" && bytes[PNG_COLOUR_TYPE] === PALETTE;
  const mode = isPalette ? "palette" : channels < 3 ? "grey" : "rgb";
  const hasAlpha = format === "png" && channels % 2 === 0;
  const about = { name, format, width, height, mode, hasAlpha, depth, isTurned: orientation !== 1 } as const;
  return {
    ...about,
    async decode() {
      // Decoders without alpha, which is wanted here.
      if (orientation === 1 && !hasAlpha && isQuickSize(header)) {
        quick ??= QuickDecoder.load();
        const planes = (await quick).decode(bytes);
        if (planes) {
          const shape = { channels: planes.channels, height, width };
          return { picture: { pixels: interleave(planes.bytes, shape), ...shape }, alpha: undefined, isOdd: false };
        }
      }
      const { bytes: values, channels: stored, isOdd } = await decodeImage(file);
      return { ...separated(values, stored, mode === "grey", about), isOdd };
    },
  };
}

const damaged = (name: string, cause: unknown): InputError =>
  new InputError(
    `${name} cannot be decoded, it is damaged or truncated (${firstLine(cause as Error)}); repair or remove it`,
    { cause },
  );

async function bmp(name: string, bytes: Uint8Array): Promise<PictureFile> {
  const { Transformer } = await import("@napi-rs/image");
  const metadata = await new Transformer(bytes).metadata().catch((cause: Error) => {
    throw damaged(name, cause);
  });
  const { width, height } = metadata;
  return {
    ...{ name, format: "bmp", width, height, mode: "rgb", hasAlpha: false, depth: 8, isTurned: false },
    async decode(): Promise<DecodedPicture> {
      const pixels = await new Transformer(bytes).rawPixels().catch((cause: Error) => {
        throw damaged(name, cause);
      });
      return separated(pixels, pixels.length / (width * height), false, metadata);
    },
  };
}

const bits: Readonly<Record<string, number>> = { uchar: 8, char: 8, ushort: 16, short: 16 };

/** WebP, GIF, TIFF and AVIF; of several pages or frames the first. */
async function bySharp(name: string, bytes: Uint8Array): Promise<PictureFile> {
  const sharp = await loadSharp();
  const metadata = await sharp(bytes, { limitInputPixels: MAX_PIXELS })
    .metadata()
    .catch((cause: Error) => {
      throw new InputError(
        `${name} is not an image of a supported format, or is damaged (${firstLine(cause)}); remove or replace it`,
        { cause },
      );
    });
  const { orientation = 1, space, format, depth = "", hasAlpha, isPalette } = metadata;
  const isSwapped = isOnItsSide(orientation);
  const isGrey = space === "b-w" || space === "grey16";
  const [width, height] = isSwapped ? [metadata.height, metadata.width] : [metadata.width, metadata.height];
  return {
    name,
    format: format === "heif" ? "avif" : format,
    width,
    height,
    mode: isPalette ? "palette" : isGrey ? "grey" : "rgb",
    hasAlpha,
    depth: bits[depth] ?? 32,
    isTurned: orientation !== 1,
    async decode() {
      // As for PNG and JPEG: profiles are ignored, and all damage counts.
      const picture = sharp(bytes, { ignoreIcc: true, failOn: "warning", limitInputPixels: MAX_PIXELS }).autoOrient();
      const { data, info } = await picture
        .raw()
        .toBuffer({ resolveWithObject: true })
        .catch((cause: Error) => {
          throw damaged(name, cause);
        });
      return separated(data, info.channels, isGrey, { width, height });
    },
  };
}

/**
 * An image file, recognised by its content: PNG, JPEG, WebP, BMP, TIFF, GIF or AVIF, of animations the first frame.
 *
 * @param name - in messages
 * @throws InputError when it is none of these, damaged, or exceeds the size limit
 */
export async function pictureFile(name: string, bytes: Uint8Array): Promise<PictureFile> {
  if (bytes.length === 0) throw new InputError(`${name} is an empty file; remove or replace it`);
  if (readImageHeader(bytes)) return await pngOrJpeg(name, bytes);
  const isBmp = bytes[0] === 0x42 && bytes[1] === 0x4d;
  const file = await (isBmp ? bmp(name, bytes) : bySharp(name, bytes));
  if (file.width * file.height > MAX_PIXELS) {
    throw new InputError(
      `${name} declares ${file.width}x${file.height} pixels; images must have at most ${MAX_PIXELS} pixels`,
    );
  }
  return file;
}

/**
 * Image files to bytes, of every kind, and which of them are damaged: plain PNGs by fast-png, everything else by sharp (libvips).
 * Most images of a data set are decoded by quick-decode.ts, which leaves here what is not plain and whole.
 */

import { decode as decodePng } from "fast-png";
import { firstLine, InputError } from "../common/errors.js";
import { type ImageHeader, readImageHeader } from "./image-header.js";
import { exifOfPng, hasOddEnd, mendImage } from "./mend.js";
import { isOnItsSide, oriented } from "./orientation.js";
import { loadSharp } from "./sharp.js";

/** A file that was read, with its header. */
export interface ImageFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly header: ImageHeader;
  /** EXIF orientation; 1 for an image that is not turned. */
  readonly orientation: number;
  /** In pixels, after applying the orientation. */
  readonly width: number;
  /** In pixels, after applying the orientation. */
  readonly height: number;
}

/** An image in the order H, W, channels, with its EXIF orientation applied. */
export interface DecodedImage {
  readonly bytes: Uint8Array;
  /** Grey values are in the first channel or in three equal ones, colours in the first three; alpha may follow. */
  readonly channels: number;
  /** Whether the pixels are intact while other bytes of the file are damaged or stray. */
  readonly isOdd: boolean;
}

type Pixels = Omit<DecodedImage, "isOdd">;

/** The largest image that is decoded, in pixels. */
const MAX_PIXELS = 2 ** 27;

/** 1 if there is none, or an invalid one. */
async function orientationOf(bytes: Uint8Array, { exif, format }: ImageHeader): Promise<number> {
  if (!exif) return 1;
  const sharp = await loadSharp();
  const { orientation = 1 } = await sharp(format === "png" ? exifOfPng(bytes) : bytes, { failOn: "none" })
    .metadata()
    .catch(() => ({ orientation: 1 }));
  return orientation >= 1 && orientation <= 8 ? orientation : 1;
}

/**
 * Reads the header of a file.
 *
 * @throws InputError when it is not a PNG or JPEG image, or exceeds the size limit
 */
export async function imageFile(name: string, bytes: Uint8Array): Promise<ImageFile> {
  const header = readImageHeader(bytes);
  if (!header || header.width * header.height === 0) {
    throw new InputError(`${name} is not a PNG or JPEG image, or is damaged; remove or replace it`);
  }
  const { width, height } = header;
  if (width * height > MAX_PIXELS) {
    throw new InputError(`${name} declares ${width}x${height} pixels; images must have at most ${MAX_PIXELS} pixels`);
  }
  const orientation = await orientationOf(bytes, header);
  const size = isOnItsSide(orientation) ? { width: height, height: width } : { width, height };
  return { name, bytes, header, orientation, ...size };
}

/** CMYK to RGB: the light that neither black nor the colour's ink absorbs, to the nearest byte. */
function withoutInk(inks: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: (inks.length / 4) * 3 }, (_, i) => {
    const pixel = 4 * Math.floor(i / 3);
    const light = 255 - (inks[pixel + 3] as number);
    return light - Math.round(((inks[pixel + (i % 3)] as number) * light) / 255);
  });
}

async function decodeBySharp(
  bytes: Uint8Array,
  header: ImageHeader,
  failOn: "warning" | "error" = "warning",
): Promise<Pixels> {
  const sharp = await loadSharp();
  // The stored values are wanted, not those of a calibrated screen: colour profiles are ignored, as in PIL.
  const picture = sharp(bytes, { ignoreIcc: true, failOn });
  const isInk = header.format === "jpeg" && header.channels === 4;
  if (isInk) picture.pipelineColourspace("cmyk").toColourspace("cmyk");
  const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  if (info.width !== header.width || info.height !== header.height) {
    throw new Error(`it has ${info.width}x${info.height} pixels, its header says ${header.width}x${header.height}`);
  }
  return isInk ? { bytes: withoutInk(data), channels: 3 } : { bytes: data, channels: info.channels };
}

/** Pixels with alpha, from a file that marks one value as transparent. */
function withAlpha(bytes: Uint8Array, channels: number, transparent: Uint16Array): Pixels {
  const pixels = new Uint8Array((bytes.length / channels) * (channels + 1)).fill(255);
  for (let from = 0, to = 0; from < bytes.length; from += channels, to += channels + 1) {
    const pixel = bytes.subarray(from, from + channels);
    pixels.set(pixel, to);
    if (pixel.every((value, i) => value === transparent[i])) pixels[to + channels] = 0;
  }
  return { bytes: pixels, channels: channels + 1 };
}

/** A PNG of 8 bits that is neither interlaced nor has a palette. */
function decodePlainPng(bytes: Uint8Array, header: ImageHeader): Pixels {
  const { data, channels, width, height, transparency } = decodePng(bytes, { checkCrc: true });
  if (data.length !== header.width * header.height * channels) {
    throw new Error(`it has ${width}x${height} pixels, its header says ${header.width}x${header.height}`);
  }
  const pixels = Uint8Array.from(data);
  return transparency?.length ? withAlpha(pixels, channels, transparency) : { bytes: pixels, channels };
}

/** @throws Error for any damage */
async function decodeStrictly(bytes: Uint8Array, header: ImageHeader): Promise<Pixels> {
  const { format, plain, depth } = header;
  return format === "png" && plain && depth === 8 ? decodePlainPng(bytes, header) : await decodeBySharp(bytes, header);
}

/** Messages of libjpeg about bytes that no pixel depends on. */
const HARMLESS = /extraneous bytes before marker|Invalid SOS parameters|Inconsistent progression sequence/;

/** @throws Error when the pixels themselves are damaged */
async function decodeMended(file: ImageFile): Promise<Pixels> {
  const { header } = file;
  const mended = mendImage(file.bytes, header);
  try {
    return await decodeStrictly(mended, header);
  } catch (error) {
    if (header.format !== "jpeg" || !HARMLESS.test((error as Error).message)) throw error;
    return await decodeBySharp(mended, header, "error");
  }
}

/**
 * The pixels of a file.
 *
 * @throws InputError naming the file when they are damaged
 */
export async function decodeImage(file: ImageFile): Promise<DecodedImage> {
  const { name, bytes, header, orientation } = file;
  try {
    let isOdd = hasOddEnd(bytes, header);
    const pixels = await decodeStrictly(bytes, header).catch(async (cause: Error) => {
      isOdd = true;
      return await decodeMended(file).catch(() => {
        throw cause;
      });
    });
    if (orientation === 1) return { ...pixels, isOdd };
    const { width, height } = header;
    const turned = oriented(pixels.bytes, { width, height, channels: pixels.channels }, orientation);
    return { bytes: turned, channels: pixels.channels, isOdd };
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(
      `${name} cannot be decoded, it is damaged or truncated (${firstLine(cause as Error)}); repair or remove it`,
      { cause },
    );
  }
}

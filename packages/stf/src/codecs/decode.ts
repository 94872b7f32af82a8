/** Image files to bytes: plain PNGs by fast-png, which costs little per image, everything else by sharp (libvips). */

import { decode as decodePng } from "fast-png";
import { firstLine, InputError } from "../common/errors.js";
import { type ImageHeader, readImageHeader } from "./image-header.js";
import { loadSharp } from "./sharp.js";

/** A file that was read, and what its header says. */
export interface ImageFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly header: ImageHeader;
}

/** An image in the order H, W, channels. */
export interface DecodedImage {
  readonly bytes: Uint8Array;
  /** Grey values come in the first channel or in three equal ones, colours in the first three; alpha may follow. */
  readonly channels: number;
}

/** The largest image that is decoded, in pixels. */
const MAX_PIXELS = 2 ** 27;

/**
 * Looks at the header of a file.
 *
 * @throws InputError when it is no PNG or JPEG image, or is larger than any training image
 */
export function imageFile(name: string, bytes: Uint8Array): ImageFile {
  const header = readImageHeader(bytes);
  if (!header || header.width * header.height === 0) {
    throw new InputError(`${name} is no PNG or JPEG image, or is damaged; remove it or put the right file there`);
  }
  if (header.width * header.height > MAX_PIXELS) {
    throw new InputError(
      `${name} declares ${header.width}x${header.height} pixels; images must have at most ${MAX_PIXELS} pixels`,
    );
  }
  return { name, bytes, header };
}

async function decodeBySharp({ bytes, header }: ImageFile): Promise<DecodedImage> {
  const sharp = await loadSharp();
  // The values of the file are wanted, not those of a calibrated screen: colour profiles are ignored, as in PIL.
  const { data, info } = await sharp(bytes, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
  if (info.width !== header.width || info.height !== header.height) {
    throw new Error(`it has ${info.width}x${info.height} pixels, its header says ${header.width}x${header.height}`);
  }
  return { bytes: data, channels: info.channels };
}

/** Pixels with alpha, where one value stands for those that are transparent. */
function withAlpha(bytes: Uint8Array, channels: number, transparent: Uint16Array): DecodedImage {
  const pixels = new Uint8Array((bytes.length / channels) * (channels + 1)).fill(255);
  for (let from = 0, to = 0; from < bytes.length; from += channels, to += channels + 1) {
    const pixel = bytes.subarray(from, from + channels);
    pixels.set(pixel, to);
    if (pixel.every((value, i) => value === transparent[i])) pixels[to + channels] = 0;
  }
  return { bytes: pixels, channels: channels + 1 };
}

/** A PNG of 8 bits that is neither interlaced nor has a palette. */
function decodePlainPng({ bytes, header }: ImageFile): DecodedImage {
  const { data, channels, width, height, transparency } = decodePng(bytes, { checkCrc: true });
  if (data.length !== header.width * header.height * channels) {
    throw new Error(`it has ${width}x${height} pixels, its header says ${header.width}x${header.height}`);
  }
  const pixels = Uint8Array.from(data);
  return transparency?.length ? withAlpha(pixels, channels, transparency) : { bytes: pixels, channels };
}

/**
 * The pixels of a file.
 *
 * @throws InputError naming the file when it is damaged
 */
export async function decodeImage(file: ImageFile): Promise<DecodedImage> {
  try {
    const { format, plain, depth } = file.header;
    return format === "png" && plain && depth === 8 ? decodePlainPng(file) : await decodeBySharp(file);
  } catch (cause) {
    if (cause instanceof InputError) throw cause;
    throw new InputError(
      `${file.name} cannot be decoded, it is damaged or truncated (${firstLine(cause as Error)}); mend or remove it`,
      { cause },
    );
  }
}

/** Crops and sizes of the published data sets. */

import { type Picture, resizeLanczos } from "../codecs/lanczos.js";

/** The transforms by name. */
export const transformNames = ["none", "center-crop", "center-crop-wide"] as const;

/** The name of a transform. */
export type TransformName = (typeof transformNames)[number];

/** What happens to each image, in the order of the properties. */
export interface TransformOptions {
  /** Black pixels added on every side. */
  readonly pad: number;
  /** Side of a centred square that is cut out first; null for none. */
  readonly crop: number | null;
  /** The published transform. */
  readonly transform: TransformName;
  /** Width and height of the results; null for those of the source, which only "none" allows. */
  readonly resolution: readonly [width: number, height: number] | null;
  /** Channels of the results; null for those of the source. */
  readonly channels: 1 | 3 | null;
}

/** A part of an image, which must lie inside it. */
function cut({ pixels, width, channels }: Picture, left: number, top: number, right: number, bottom: number): Picture {
  const stride = (right - left) * channels;
  const part = new Uint8Array((bottom - top) * stride);
  for (let y = top; y < bottom; y++) {
    const from = (y * width + left) * channels;
    part.set(pixels.subarray(from, from + stride), (y - top) * stride);
  }
  return { pixels: part, width: right - left, height: bottom - top, channels };
}

/** The centred rectangle; of an odd remainder, the smaller part is above and on the left. */
function cutCentre(picture: Picture, width: number, height: number): Picture {
  const left = Math.floor((picture.width - width) / 2);
  const top = Math.floor((picture.height - height) / 2);
  return cut(picture, left, top, left + width, top + height);
}

/** An image on a larger black one. */
function paste(picture: Picture, width: number, height: number, left: number, top: number): Picture {
  const { channels } = picture;
  const pixels = new Uint8Array(width * height * channels);
  const stride = picture.width * channels;
  for (let y = 0; y < picture.height; y++) {
    pixels.set(picture.pixels.subarray(y * stride, (y + 1) * stride), ((top + y) * width + left) * channels);
  }
  return { pixels, width, height, channels };
}

/** To the nearest whole number, halves to the even one. */
function roundToEven(x: number): number {
  const below = Math.floor(x);
  const rest = x - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** ITU-R 601-2 luma, (19595 R + 38470 G + 7471 B) / 65536 to the nearest byte, as PIL computes it. */
function toGrey({ pixels, width, height }: Picture): Picture {
  const grey = new Uint8Array(width * height);
  for (let i = 0; i < grey.length; i++) {
    const [red = 0, green = 0, blue = 0] = [pixels[3 * i], pixels[3 * i + 1], pixels[3 * i + 2]];
    grey[i] = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16;
  }
  return { pixels: grey, width, height, channels: 1 };
}

function toRgb({ pixels, width, height }: Picture): Picture {
  const rgb = new Uint8Array(3 * pixels.length);
  for (let i = 0; i < pixels.length; i++) rgb.fill(pixels[i] as number, 3 * i, 3 * i + 3);
  return { pixels: rgb, width, height, channels: 3 };
}

/** Grey values repeated, or colours reduced to luma, where the number of channels differs. */
export function withChannels(picture: Picture, channels: number): Picture {
  if (picture.channels === channels) return picture;
  return channels === 1 ? toGrey(picture) : toRgb(picture);
}

/**
 * An image on a background: alpha / 255 of its own colour and the rest of the background's.
 *
 * @param background - "stored" keeps the colours as they are
 */
export function onBackground(
  { picture, alpha }: { readonly picture: Picture; readonly alpha: Uint8Array | undefined },
  background: "stored" | "black" | "white",
): Picture {
  if (!alpha || background === "stored") return picture;
  const behind = background === "white" ? 255 : 0;
  const { pixels, channels } = picture;
  const mixed = pixels.map((value, i) => {
    const opacity = alpha[Math.floor(i / channels)] as number;
    return Math.round((value * opacity + behind * (255 - opacity)) / 255);
  });
  return { ...picture, pixels: mixed };
}

function wide(picture: Picture, width: number, height: number): Picture | undefined {
  const rows = roundToEven((width * picture.height) / picture.width);
  if (picture.width < width || rows < height) return undefined;
  const top = Math.floor((picture.height - rows) / 2);
  const bottom = Math.floor((picture.height + rows) / 2);
  const middle = resizeLanczos(cut(picture, 0, top, picture.width, bottom), width, height);
  return paste(middle, width, width, 0, Math.floor((width - height) / 2));
}

/**
 * One image, transformed. Sizes change by PIL's Lanczos filter.
 *
 * - "none": resized to the resolution, whatever its shape; unchanged without a resolution.
 * - "center-crop": the centred square of side min(H, W), resized.
 * - "center-crop-wide": the centred round(width H / W) rows, resized to width x height, in the middle of a black square of side
 *   width.
 *
 * @returns undefined for an image that is rejected: smaller than `crop`, or by "center-crop-wide" one that is narrower than the
 *   result or not as high relative to its width.
 */
export function transformImage(picture: Picture, options: TransformOptions): Picture | undefined {
  const { pad, crop, transform, resolution, channels } = options;
  let image = channels === null ? picture : withChannels(picture, channels);
  if (pad > 0) image = paste(image, image.width + 2 * pad, image.height + 2 * pad, pad, pad);
  if (crop !== null) {
    if (Math.min(image.width, image.height) < crop) return undefined;
    image = cutCentre(image, crop, crop);
  }
  if (resolution === null) return image;
  const [width, height] = resolution;
  if (transform === "center-crop-wide") return wide(image, width, height);
  if (transform === "center-crop") {
    const side = Math.min(image.width, image.height);
    image = cutCentre(image, side, side);
  }
  return resizeLanczos(image, width, height);
}

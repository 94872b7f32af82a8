/** Constraints on the drawn images, from an image file. */

import { readFileSync } from "node:fs";
import { type Device, type Tensor, tensor } from "@stf/torch";
import { decodeImage, imageFile } from "../codecs/decode.js";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import type { GenerateCommandOptions } from "../config/generate-options.js";
import { readImages } from "../data/images.js";
import type { GenerateOptions } from "../sampling/generate.js";
import { knownGrey, knownPixels } from "../sampling/known-part.js";

/** @throws InputError when the file does not exist */
function readBytes(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new InputError(code === "ENOENT" ? `there is no image at ${path}` : `${path} cannot be read (${message})`, {
      cause,
    });
  }
}

type Size = Pick<ImageShape, "height" | "width">;

/** @throws InputError when an image differs in size from those drawn */
function checkSize(path: string, found: Size, { height, width }: Size): void {
  if (found.height === height && found.width === width) return;
  throw new InputError(
    `${path} must have the size of the network's images, ${width}x${height}, found ${found.width}x${found.height}; crop or resize it`,
  );
}

/** One image, float64 `[1, C, H, W]` on [-1, 1]. @throws InputError when it is damaged or has another size. */
async function readImage(path: string, { height, width }: Size, device: Device): Promise<Tensor> {
  const source = { location: path, paths: [path], nameOf: () => path, read: async () => readBytes(path), close() {} };
  const bank = await readImages(source, [path]);
  const { shape } = bank;
  try {
    checkSize(path, shape, { height, width });
  } catch (error) {
    bank.dispose();
    throw error;
  }
  const image = bank
    .toValues(bank.gather(Int32Array.of(0)))
    .view([1, shape.channels, height, width])
    .double()
    .to({ device });
  bank.dispose();
  return image;
}

/** An image with the network's channels. @throws InputError when it is in colour and the network draws grey images. */
function withChannels(path: string, image: Tensor, { channels }: ImageShape): Tensor {
  if (image.size(1) === channels) return image;
  if (channels === 1) {
    const grey = image.narrow(1, 0, 1);
    if (image.eq(grey).all().item()) return grey.contiguous();
    throw new InputError(`${path} must be grey like the network's images, found colours; convert it`);
  }
  return image.expand([1, channels, image.size(2), image.size(3)]).contiguous();
}

/** Where a mask is light on a black background; transparent pixels count as black. */
async function readMask(path: string, size: Size): Promise<boolean[]> {
  const file = await imageFile(path, readBytes(path));
  checkSize(path, file, size);
  const { bytes, channels } = await decodeImage(file);
  const colours = channels < 3 ? 1 : 3;
  return Array.from({ length: bytes.length / channels }, (_, pixel) => {
    const values = bytes.subarray(pixel * channels, (pixel + 1) * channels);
    const alpha = colours < channels ? (values[colours] as number) : 255;
    return values.subarray(0, colours).reduce((sum, value) => sum + value, 0) * alpha > (colours * 255 * 255) / 2;
  });
}

/** A note on a mask that lacks one of its colours or its transparency. */
function notesOn(mask: readonly boolean[]): string[] {
  const wanted = "a mask is white where 'image' is kept, and black or transparent where it is redrawn";
  if (mask.every((isKept) => isKept))
    return [`'mask' keeps every pixel, so that 'image' is returned unchanged; ${wanted}`];
  if (!mask.some((isKept) => isKept)) return [`'mask' keeps no pixel, so that 'image' has no effect; ${wanted}`];
  return [];
}

/** Constraints on the drawn images, with notes. */
export interface GivenImage extends Pick<GenerateOptions, "known" | "from"> {
  readonly notes: readonly string[];
}

/** The constraints that the options impose on the drawn images. */
export async function givenImage(
  { image: path, mask: maskPath, colorize, fromSigma }: GenerateCommandOptions,
  shape: ImageShape,
  device: Device,
): Promise<GivenImage> {
  if (path === null) return { notes: [] };
  const image = withChannels(path, await readImage(path, shape, device), shape);
  const from = { notes: [], ...(fromSigma !== null && { from: image }) };
  if (colorize) return { known: knownGrey(image), ...from };
  if (maskPath === null) return from;
  const mask = await readMask(maskPath, shape);
  const kept = tensor(Float64Array.from(mask, Number), { shape: [1, 1, shape.height, shape.width] }).to({ device });
  return { ...from, known: knownPixels(image, kept), notes: notesOn(mask) };
}

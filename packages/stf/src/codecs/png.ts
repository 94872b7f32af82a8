import { closeSync, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { writeFileAtomically } from "@stf/torch";
import { decode, encode } from "fast-png";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import { formatImageShape } from "../common/image-shape.js";
import { deinterleave, interleave } from "./planes.js";

/** One image as the bytes of a file: greyscale for one channel, RGB for three. @param planes - bytes in the order C, H, W */
export function encodePng(planes: Uint8Array, shape: ImageShape): Uint8Array {
  const { channels, height, width } = shape;
  return encode({ width, height, data: interleave(planes, shape), channels, depth: 8 });
}

/** Writes one image, bytes in the order C, H, W: greyscale for one channel, RGB for three. */
export function writePng(path: string, planes: Uint8Array, shape: ImageShape): void {
  writeFileAtomically(path, encodePng(planes, shape));
}

/** The last chunk of a PNG: no bytes, "IEND", and their checksum. */
const LAST_CHUNK = Buffer.from("0000000049454e44ae426082", "hex");

/** Whether a file begins and ends like an image of the shape written by {@link writePng}. */
export function isWholePng(path: string, { channels, height, width }: ImageShape): boolean {
  let descriptor: number;
  try {
    descriptor = openSync(path, "r");
  } catch {
    return false;
  }
  try {
    const { size } = fstatSync(descriptor);
    const [head, tail] = [Buffer.alloc(26), Buffer.alloc(LAST_CHUNK.length)];
    if (size < head.length + tail.length) return false;
    readSync(descriptor, head, 0, head.length, 0);
    readSync(descriptor, tail, 0, tail.length, size - tail.length);
    const [depth, colour] = [head[24], head[25]];
    const isShape = head.readUInt32BE(16) === width && head.readUInt32BE(20) === height && depth === 8;
    return isShape && colour === (channels === 1 ? 0 : 2) && tail.equals(LAST_CHUNK);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Reads an image written by {@link writePng}, as bytes in the order C, H, W.
 *
 * @throws InputError when it is damaged or has another shape
 */
export function readPng(path: string, shape: ImageShape): Uint8Array {
  const { channels, height, width } = shape;
  const fail = (found: string, cause?: unknown): never => {
    throw new InputError(
      `${path} must be an image of ${formatImageShape(shape)}, ${found}; remove it, and the same command draws it again`,
      { cause },
    );
  };
  const image = (() => {
    try {
      return decode(readFileSync(path), { checkCrc: true });
    } catch (cause) {
      return fail("and is damaged", cause);
    }
  })();
  if (image.width !== width || image.height !== height || image.channels !== channels || image.depth !== 8) {
    fail(`found ${formatImageShape(image)}`);
  }
  return deinterleave(image.data, shape);
}

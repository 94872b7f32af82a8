/** The idx format of MNIST and its relatives, plain or gzipped. */

import { existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { gunzipSync } from "node:zlib";
import { InputError } from "../common/errors.js";
import { ImageBank } from "./image-bank.js";

const UNSIGNED_BYTES = 0x08;

interface IdxArray {
  readonly sizes: readonly number[];
  readonly bytes: Uint8Array;
}

/** Whether a file's name says that it holds idx images. */
export function isIdxFile(path: string): boolean {
  return /idx\d-ubyte(\.gz)?$/.test(path);
}

function readBytes(path: string): Uint8Array {
  const raw = readFileSync(path);
  if (raw[0] !== 0x1f || raw[1] !== 0x8b) return raw;
  try {
    return gunzipSync(raw);
  } catch (cause) {
    throw new InputError(`${path} is damaged or truncated: it cannot be unzipped. Fetch it again.`, { cause });
  }
}

function readIdx(path: string, axes: number): IdxArray {
  const bytes = readBytes(path);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (
    bytes.length < 4 + 4 * axes ||
    view.getUint16(0) !== 0 ||
    view.getUint8(2) !== UNSIGNED_BYTES ||
    view.getUint8(3) !== axes
  ) {
    throw new InputError(`${path} is no idx file of unsigned bytes with ${axes} ${axes === 1 ? "axis" : "axes"}`);
  }
  const sizes = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const data = bytes.subarray(4 + 4 * axes);
  const expected = sizes.reduce((product, size) => product * size, 1);
  if (data.length !== expected) {
    throw new InputError(
      `${path} is damaged or truncated: its header promises ${expected} bytes (${sizes.join(" x ")}), found ${data.length}`,
    );
  }
  return { sizes, bytes: data };
}

/** The label file that belongs to an image file by name, if it is there. */
function labelFile(path: string): string | undefined {
  const candidate = path.replace("images-idx3", "labels-idx1");
  return candidate !== path && existsSync(candidate) ? candidate : undefined;
}

/**
 * Greyscale images `[N, 1, H, W]` and, from the companion file next to them, their labels.
 *
 * @param options.labels - whether the companion file is read
 * @throws InputError naming the file when it is truncated, damaged or of another kind.
 */
export function readIdxImages(path: string, { labels: wanted = true }: { labels?: boolean } = {}): ImageBank {
  const images = readIdx(path, 3);
  const [count = 0, height = 0, width = 0] = images.sizes;
  if (images.bytes.length === 0) throw new InputError(`${path} holds no images`);
  const companion = wanted ? labelFile(path) : undefined;
  const labels = companion === undefined ? undefined : Int32Array.from(readIdx(companion, 1).bytes);
  if (labels && labels.length !== count) {
    throw new InputError(`${companion} has ${labels.length} labels for the ${count} images of ${path}`);
  }
  const name = basename(path).replace(/-?idx3-ubyte(\.gz)?$/, "") || "idx";
  return ImageBank.fromBytes(name, { channels: 1, height, width }, images.bytes, labels ? { labels } : {});
}

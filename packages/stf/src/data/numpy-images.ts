/** The images of one of NumPy's arrays, read piece by piece. */

import { basename } from "node:path";
import { empty, scope, type Tensor, tensor } from "@stf/torch";
import { type NpyHeader, parseNpy, wrongNpySize } from "../codecs/npy.js";
import { InputError } from "../common/errors.js";
import { type FileSource, piecesOf } from "./file-source.js";
import { type Classes, ImageBank } from "./image-bank.js";
import type { OnProgress } from "./images.js";

/** A file with an array. */
export interface ArrayFile {
  readonly path: string;
  readonly header: NpyHeader;
}

/** How images are stored. */
interface Layout {
  readonly height: number;
  readonly width: number;
  /** Channels in the file. */
  readonly stored: number;
  /** Channels of the bank. */
  readonly channels: number;
  /** Whether the channels are the last axis. */
  readonly isInterleaved: boolean;
}

function layoutOf(shape: readonly number[], name: string): Layout {
  const [, a = 0, b = 0, c = 0] = shape;
  const [isInterleaved, isPlanes] = [c >= 1 && c <= 4, a === 1 || a === 3];
  const refuse = (problem: string, advice: string): never => {
    throw new InputError(`${name} has the shape [${shape.join(", ")}], ${problem}; ${advice}`);
  };
  if (shape.length === 3) {
    if (b === 3 || b === 4) refuse("which is one colour image, or narrow grey ones", "save images as [N, H, W, C]");
    return { height: a, width: b, stored: 1, channels: 1, isInterleaved: false };
  }
  if (isInterleaved && isPlanes) {
    refuse("in which the channels may be the second axis or the last", "save images of this size as PNG files");
  }
  if (isInterleaved) return { height: a, width: b, stored: c, channels: c < 3 ? 1 : 3, isInterleaved };
  if (isPlanes) return { height: b, width: c, stored: a, channels: a, isInterleaved };
  return refuse("without an axis of channels", "images have 1 or 3 channels, as the second axis or the last");
}

const CONVERSION: Readonly<Record<string, string>> = {
  float:
    "convert values in [0, 1] with numpy.rint(255 * x).astype('uint8'), in [-1, 1] with numpy.rint(127.5 * (x + 1))",
  other: "if they are from 0 to 255, save x.astype('uint8')",
};

function checkBytes({ dtype, dataSize }: NpyHeader, name: string): void {
  if (dataSize === 0) throw new InputError(`${name} holds no images`);
  if (dtype === "uint8") return;
  const advice = CONVERSION[/^float/.test(dtype) ? "float" : "other"];
  throw new InputError(`images must be bytes (uint8), ${name} holds ${dtype}; ${advice}`);
}

/** Bytes that are put into order at a time. */
const BLOCK_BYTES = 2 ** 22;

/** The rows of a bank as they are read. */
class Rows {
  readonly pixels: Tensor;
  readonly #layout: Layout;
  /** Bytes of one stored image. */
  readonly #size: number;
  readonly #block: Uint8Array;
  #filled = 0;
  /** Rows that are written. */
  done = 0;

  constructor(count: number, layout: Layout) {
    const { height, width, stored, channels } = layout;
    this.#layout = layout;
    this.#size = stored * height * width;
    this.#block = new Uint8Array(this.#size * Math.min(count, Math.ceil(BLOCK_BYTES / this.#size)));
    this.pixels = empty([count, channels * height * width], { dtype: "uint8" });
  }

  /** Adds bytes that follow the earlier ones. */
  add(bytes: Uint8Array): void {
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + this.#block.length - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      from += part.length;
      if (this.#filled === this.#block.length) this.flush();
    }
  }

  /** Writes whole images to their rows. */
  flush(): void {
    const count = Math.floor(this.#filled / this.#size);
    if (count === 0) return;
    const { height, width, stored, channels, isInterleaved } = this.#layout;
    const area = height * width;
    scope(() => {
      const values = tensor(this.#block.subarray(0, count * this.#size));
      const planes = isInterleaved
        ? values.view([count, area, stored]).transpose(1, 2).narrow(1, 0, channels)
        : values.view([count, channels, area]);
      this.pixels.narrow(0, this.done, count).view([count, channels, area]).copy_(planes);
    });
    this.done += count;
    this.#filled = 0;
  }
}

/** The bytes of an array in the order of C. @throws InputError after the last one when there are fewer or more than there should be */
async function* elements(source: FileSource, { path, header }: ArrayFile): AsyncGenerator<Uint8Array> {
  const name = source.nameOf(path);
  if (header.isFortran) {
    yield parseNpy(await source.read(path), name).bytes;
    return;
  }
  let position = 0;
  for await (const piece of piecesOf(source, path)) {
    const begin = Math.max(0, header.dataStart - position);
    const end = header.dataStart + header.dataSize - position;
    position += piece.length;
    yield piece.subarray(begin, Math.max(begin, end));
  }
  const found = position - header.dataStart;
  if (found !== header.dataSize) throw wrongNpySize(name, header, found);
}

/**
 * Reads an array of bytes as images.
 *
 * @throws InputError when it is damaged or truncated, not of bytes, or its axes are not those of images
 */
export async function readArrayImages(
  source: FileSource,
  array: ArrayFile,
  classes: Classes,
  onProgress?: OnProgress,
): Promise<ImageBank> {
  const name = source.nameOf(array.path);
  const [count = 0] = array.header.shape;
  checkBytes(array.header, name);
  const layout = layoutOf(array.header.shape, name);
  const rows = new Rows(count, layout);
  try {
    for await (const bytes of elements(source, array)) {
      const before = rows.done;
      rows.add(bytes);
      if (rows.done > before) onProgress?.(rows.done, count);
    }
    rows.flush();
    onProgress?.(count, count);
  } catch (error) {
    rows.pixels.dispose();
    throw error;
  }
  const { channels, height, width } = layout;
  const title = basename(source.location).replace(/\.np[yz]$/i, "");
  return new ImageBank(title, { channels, height, width }, rows.pixels, classes);
}

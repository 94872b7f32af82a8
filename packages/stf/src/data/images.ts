/** PNG and JPEG files of a folder or archive, decoded into an image bank. */

import { availableParallelism, totalmem } from "node:os";
import { basename } from "node:path";
import { setImmediate } from "node:timers/promises";
import { decodeImage, type ImageFile, imageFile } from "../codecs/decode.js";
import { type BatchDecoder, openBatchDecoder } from "../codecs/decoding-threads.js";
import { isQuickSize } from "../codecs/quick-decode.js";
import { InputError } from "../common/errors.js";
import { CacheEntry, type DecodedImages } from "./decoded-cache.js";
import type { FileSource } from "./file-source.js";
import { Findings } from "./findings.js";
import { type Classes, ImageBank } from "./image-bank.js";
import { inParallel } from "./parallel.js";
import { PixelTable } from "./pixel-table.js";
import { conversionCommand } from "./suggested-conversion.js";

/** Called occasionally with the number of images ready and the total; finally with both equal. */
export type OnProgress = (done: number, total: number) => void;

const IMAGE = /\.(png|jpe?g)$/i;
const OTHER_IMAGE = /\.(apng|avif|bmp|gif|hei[cf]|jfif|jp2|jpe|jxl|p[bgnp]m|tga|tiff?|webp)$/i;

/** Whether a file is named like an image. */
export const isImagePath = (path: string): boolean => IMAGE.test(path);

/** The same for a format that may have to be converted first. */
export const isAnyImagePath = (path: string): boolean => IMAGE.test(path) || OTHER_IMAGE.test(path);

/** Images between two calls of `onProgress`. */
const REPORT_EVERY = 256;

/**
 * Paths of the images among the files, sorted.
 *
 * @throws InputError when there are none, or images of unsupported formats
 */
export function imagePaths({ location, paths, nameOf }: FileSource): readonly string[] {
  const other = paths.find((path) => OTHER_IMAGE.test(path));
  if (other !== undefined) {
    throw new InputError(
      `images must be PNG or JPEG files, found ${nameOf(other)}; convert them: ${conversionCommand(location, undefined)}`,
    );
  }
  const images = paths.filter(isImagePath);
  if (images.length === 0) {
    throw new InputError(`${location} must hold PNG or JPEG images, found none among ${paths.length} files`);
  }
  return images;
}

function checkMemory(count: number, { width, height }: ImageFile, location: string): void {
  const bytes = count * width * height * 3;
  if (bytes <= totalmem()) return;
  const gigabytes = (size: number): string => `${(size / 2 ** 30).toFixed(1)} GiB`;
  throw new InputError(
    `the ${count} images of ${location} take up to ${gigabytes(bytes)}, this machine has ${gigabytes(totalmem())}; make them smaller or fewer`,
  );
}

/** Options of {@link readImages}. */
export interface ReadOptions {
  /** Class information of the images. */
  readonly classes?: Classes | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** A folder in which decoded images are kept, and from which they are read when the files are the same. */
  readonly cache?: string | undefined;
  /** Called with notes on the images, one line each. */
  readonly onNote?: ((line: string) => void) | undefined;
}

/** Images per batch: enough pixels that passing them on costs little beside decoding. */
const batchSize = (area: number): number => Math.min(Math.max(1, Math.floor(2 ** 18 / area)), 64);

/** More threads than this wait for the one that reads the files. */
const MOST_THREADS = 8;

/** Threads worth starting, which takes a tenth of a second. */
function threadsFor(count: number, first: ImageFile): number {
  if (!isQuickSize(first.header)) return 0;
  // Decoding takes a time for each image, and one for each pixel.
  const work = count * (4096 + first.width * first.height);
  return work < 2 ** 23 ? 0 : Math.min(availableParallelism(), MOST_THREADS);
}

/** Reads the images of a source into a table. */
class Reader {
  readonly #source: FileSource;
  readonly #paths: readonly string[];
  readonly #findings: Findings;

  constructor(source: FileSource, paths: readonly string[]) {
    this.#source = source;
    this.#paths = paths;
    this.#findings = new Findings(source.location, paths);
  }

  /** Undefined, with a finding, if it is unusable. */
  async #usable<T>(index: number, work: () => Promise<T>): Promise<T | undefined> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      this.#findings.unusable(index, error);
      return undefined;
    }
  }

  #fileAt(index: number): Promise<ImageFile | undefined> {
    return this.#usable(index, async () => {
      const path = this.#paths[index] as string;
      return await imageFile(this.#source.nameOf(path), await this.#source.read(path));
    });
  }

  /** The first file that can be used. @throws InputError when none can be */
  async first(): Promise<ImageFile> {
    for (let index = 0; index < this.#paths.length; index++) {
      const file = await this.#fileAt(index);
      if (file) return file;
    }
    this.#findings.check(undefined);
    throw new InputError(`${this.#source.location} holds no images`);
  }

  /** Files of the right size, by number. */
  async #filesOf(begin: number, end: number, { width, height }: ImageFile): Promise<[number, ImageFile][]> {
    const files: [number, ImageFile][] = [];
    for (let index = begin; index < end; index++) {
      const file = await this.#fileAt(index);
      if (file && file.width === width && file.height === height) files.push([index, file]);
      else if (file) this.#findings.otherSize(index, file);
    }
    return files;
  }

  /** Reads the images from `begin` to before `end` into their rows. */
  async read(begin: number, end: number, first: ImageFile, table: PixelTable, decoder: BatchDecoder): Promise<void> {
    const files = await this.#filesOf(begin, end, first);
    const upright = files.filter(([, { orientation }]) => orientation === 1);
    const decoded = await decoder.decode(upright.map(([, { bytes }]) => bytes));
    const planes = new Map(upright.map(([index], i) => [index, decoded[i]]));
    table.writePlanes(planes);
    for (const [index, file] of files) {
      if (planes.get(index)) continue;
      const image = await this.#usable(index, () => decodeImage(file));
      if (!image) continue;
      table.write(index, image, file.header.channels < 3);
      this.#findings.read(index, file, image);
    }
  }

  /** @throws InputError that lists all images that cannot be used */
  check(first: ImageFile): readonly string[] {
    this.#findings.check(first);
    return this.#findings.notes;
  }
}

async function decodeImages(
  source: FileSource,
  paths: readonly string[],
  onProgress?: OnProgress,
): Promise<DecodedImages> {
  const reader = new Reader(source, paths);
  const first = await reader.first();
  checkMemory(paths.length, first, source.location);
  const size = batchSize(first.width * first.height);
  const threads = threadsFor(paths.length, first);
  const table = new PixelTable(paths.length, first.height, first.width);
  const decoder = await openBatchDecoder(threads);
  let done = 0;
  const readBatch = async (number: number): Promise<void> => {
    const [begin, end] = [number * size, Math.min((number + 1) * size, paths.length)];
    await reader.read(begin, end, first, table, decoder);
    for (let index = begin; index < end; index++) {
      done++;
      if (done % REPORT_EVERY === 0 || done === paths.length) onProgress?.(done, paths.length);
    }
    // Small files are read and decoded without waiting, so timers and signals get their turn here.
    await setImmediate();
  };
  try {
    // Reading goes on while all threads decode.
    await inParallel(Math.ceil(paths.length / size), threads > 0 ? 2 * threads : availableParallelism() + 1, readBatch);
    const notes = reader.check(first);
    return { shape: table.shape, pixels: table.pixels, notes };
  } catch (error) {
    table.dispose();
    throw error;
  } finally {
    await decoder.close();
  }
}

/**
 * Reads and decodes images of one size. The bank is grey if all images are, else RGB, with grey values repeated. Alpha is dropped
 * and the colour under it kept; of 16 bits the upper 8 are kept; colour profiles are ignored; the EXIF orientation is applied,
 * as viewers do. Damage that no pixel depends on is ignored.
 *
 * @param paths - the files, in the order of the bank
 * @throws InputError naming the files that are damaged, are not images, or differ in size from the first
 */
export async function readImages(
  source: FileSource,
  paths: readonly string[],
  { classes, cache, onProgress, onNote }: ReadOptions = {},
): Promise<ImageBank> {
  const entry = cache === undefined ? undefined : CacheEntry.of(cache, source, paths);
  const known = entry?.read(paths.length);
  const images = known ?? (await decodeImages(source, paths, onProgress));
  if (known) onProgress?.(paths.length, paths.length);
  else entry?.write(images, onNote);
  for (const note of images.notes) onNote?.(note);
  const name = basename(source.location).replace(/\.zip$/i, "");
  return new ImageBank(name, images.shape, images.pixels, classes);
}

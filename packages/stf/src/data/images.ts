/** PNG and JPEG files of a folder or archive, decoded into an image bank. */

import { availableParallelism, totalmem } from "node:os";
import { basename } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type DecodedImage, decodeImage, type ImageFile, imageFile } from "../codecs/decode.js";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import type { FileSource } from "./file-source.js";
import { type Classes, ImageBank } from "./image-bank.js";
import { inParallel } from "./parallel.js";
import { PixelTable } from "./pixel-table.js";
import { conversionCommand, suggestedSide } from "./suggested-conversion.js";

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

const sizeOf = ({ width, height }: ImageFile): string => `${width}x${height}`;

function checkMemory(count: number, { width, height }: ImageFile, location: string): void {
  const bytes = count * width * height * 3;
  if (bytes <= totalmem()) return;
  const gigabytes = (size: number): string => `${(size / 2 ** 30).toFixed(1)} GiB`;
  throw new InputError(
    `the ${count} images of ${location} take up to ${gigabytes(bytes)}, this machine has ${gigabytes(totalmem())}; make them smaller or fewer`,
  );
}

/** Collects notes on images, by number. */
class Findings {
  readonly #location: string;
  readonly #paths: readonly string[];
  readonly #unusable = new Map<number, InputError>();
  readonly #otherSize = new Map<number, string>();
  #leastSide = Number.POSITIVE_INFINITY;
  readonly #turned: number[] = [];
  readonly #odd: number[] = [];

  constructor(location: string, paths: readonly string[]) {
    this.#location = location;
    this.#paths = paths;
  }

  unusable(index: number, error: InputError): void {
    this.#unusable.set(index, error);
  }

  otherSize(index: number, file: ImageFile): void {
    this.#otherSize.set(index, `${file.name} has ${sizeOf(file)}`);
    this.#leastSide = Math.min(this.#leastSide, file.width, file.height);
  }

  read(index: number, { orientation }: ImageFile, { isOdd }: DecodedImage): void {
    if (orientation !== 1) this.#turned.push(index);
    if (isOdd) this.#odd.push(index);
  }

  /** In the order of the images, not of completion. */
  #names(indices: Iterable<number>): string {
    return abbreviated([...indices].sort((a, b) => a - b).map((index) => this.#paths[index] as string));
  }

  #some(count: number): string {
    return `${count} of ${this.#paths.length} images`;
  }

  /** @throws InputError that lists all unusable images */
  check(first: ImageFile | undefined): void {
    const complaints: string[] = [];
    const [failed, sizes] = [this.#unusable, this.#otherSize];
    const lowest = failed.get(Math.min(...failed.keys()));
    if (failed.size === 1) complaints.push(lowest?.message ?? "");
    else if (failed.size > 1) {
      complaints.push(
        `${this.#some(failed.size)} in ${this.#location} cannot be used: ${this.#names(failed.keys())}. ${lowest?.message}`,
      );
    }
    if (sizes.size > 0) {
      const leastSide = Math.min(this.#leastSide, first?.width ?? 1, first?.height ?? 1);
      const others =
        sizes.size === 1 ? "" : ` (${this.#some(sizes.size)} have another size: ${this.#names(sizes.keys())})`;
      complaints.push(
        `all images must have one size: ${first?.name} has ${first && sizeOf(first)}, ${sizes.get(Math.min(...sizes.keys()))}${others}; make a data set of one size: ${conversionCommand(this.#location, suggestedSide(leastSide))}`,
      );
    }
    if (complaints.length > 0) throw new InputError(complaints.join(". Besides, "), { cause: lowest });
  }

  /** Notes for the user on images that were read successfully. */
  get notes(): string[] {
    const notes: string[] = [];
    if (this.#turned.length > 0) {
      notes.push(
        `${this.#some(this.#turned.length)} were turned or mirrored by their EXIF orientation: ${this.#names(this.#turned)}`,
      );
    }
    if (this.#odd.length > 0) {
      notes.push(
        `${this.#some(this.#odd.length)} have intact pixels, which were read, but damaged or stray bytes elsewhere: ${this.#names(this.#odd)}`,
      );
    }
    return notes;
  }
}

/** Options of {@link readImages}. */
export interface ReadOptions {
  /** Class information of the images. */
  readonly classes?: Classes | undefined;
  readonly onProgress?: OnProgress | undefined;
  /** Called with notes on the images, one line each. */
  readonly onNote?: ((line: string) => void) | undefined;
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
  { classes, onProgress, onNote }: ReadOptions = {},
): Promise<ImageBank> {
  const findings = new Findings(source.location, paths);
  /** Undefined if it is unusable. */
  const usable = async <T>(index: number, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      findings.unusable(index, error);
      return undefined;
    }
  };
  const fileAt = (index: number): Promise<ImageFile | undefined> =>
    usable(index, async () => {
      const path = paths[index] as string;
      return await imageFile(source.nameOf(path), await source.read(path));
    });
  let first: ImageFile | undefined;
  for (let index = 0; index < paths.length && !first; index++) first = await fileAt(index);
  if (!first) findings.check(first);
  const { height = 0, width = 0 } = first ?? {};
  if (first) checkMemory(paths.length, first, source.location);

  const table = new PixelTable(paths.length, height, width);
  let done = 0;
  const readImage = async (index: number): Promise<void> => {
    const file = await fileAt(index);
    if (file && (file.width !== width || file.height !== height)) findings.otherSize(index, file);
    else if (file) {
      const image = await usable(index, () => decodeImage(file));
      if (image) {
        table.write(index, image, file.header.channels < 3);
        findings.read(index, file, image);
      }
    }
    done++;
    if (done % REPORT_EVERY === 0 || done === paths.length) {
      onProgress?.(done, paths.length);
      // Small files are read and decoded without waiting, so timers and signals get their turn here.
      await setImmediate();
    }
  };
  try {
    // One more than processors, so that reading goes on while all of them decode.
    await inParallel(paths.length, availableParallelism() + 1, readImage);
    findings.check(first);
  } catch (error) {
    table.dispose();
    throw error;
  }
  for (const note of findings.notes) onNote?.(note);
  const name = basename(source.location).replace(/\.zip$/i, "");
  return new ImageBank(name, table.shape, table.pixels, classes);
}

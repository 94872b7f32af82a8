/** PNG and JPEG files of a folder or archive, decoded into an image bank. */

import { availableParallelism, totalmem } from "node:os";
import { basename } from "node:path";
import { setImmediate } from "node:timers/promises";
import { decodeImage, type ImageFile, imageFile } from "../codecs/decode.js";
import { InputError } from "../common/errors.js";
import type { FileSource } from "./file-source.js";
import { ImageBank } from "./image-bank.js";
import { inParallel } from "./parallel.js";
import { PixelTable } from "./pixel-table.js";

/** Called now and then with the number of images that are ready, and of all; at last with both the same. */
export type OnProgress = (done: number, total: number) => void;

const IMAGE = /\.(png|jpe?g)$/i;
const OTHER_IMAGE = /\.(apng|avif|bmp|gif|hei[cf]|jfif|jp2|jpe|jxl|p[bgnp]m|tga|tiff?|webp)$/i;

/** Images between two calls of `onProgress`. */
const REPORT_EVERY = 256;

/**
 * Paths of the images among the files, sorted.
 *
 * @throws InputError when there are none, or when there are images of kinds that are not read
 */
export function imagePaths({ location, paths, nameOf }: FileSource): readonly string[] {
  const other = paths.find((path) => OTHER_IMAGE.test(path));
  if (other !== undefined) {
    throw new InputError(`images must be PNG or JPEG files, found ${nameOf(other)}; convert or remove it`);
  }
  const images = paths.filter((path) => IMAGE.test(path));
  if (images.length === 0) {
    throw new InputError(`${location} must hold PNG or JPEG images, found none among ${paths.length} files`);
  }
  return images;
}

function sizeOf({ header }: ImageFile): string {
  return `${header.width}x${header.height}`;
}

function checkSize(file: ImageFile, first: ImageFile): void {
  if (sizeOf(file) === sizeOf(first)) return;
  throw new InputError(
    `all images must have one size: ${first.name} has ${sizeOf(first)}, ${file.name} has ${sizeOf(file)}; crop or resize them`,
  );
}

function checkMemory(count: number, { header }: ImageFile, location: string): void {
  const bytes = count * header.width * header.height * 3;
  if (bytes <= totalmem()) return;
  const gigabytes = (size: number): string => `${(size / 2 ** 30).toFixed(1)} GiB`;
  throw new InputError(
    `the ${count} images of ${location} take up to ${gigabytes(bytes)}, this machine has ${gigabytes(totalmem())}; make them smaller or fewer`,
  );
}

/**
 * Reads and decodes images of one size. The bank is grey if all images are, else RGB, grey values repeated. Alpha is dropped
 * and the colour under it kept; of 16 bits the upper 8 stay; colour profiles and the rotation noted by cameras are ignored.
 *
 * @param paths - which files, in the order of the bank
 * @throws InputError naming the file that is damaged, is no image, or is of another size than the first
 */
export async function readImages(
  source: FileSource,
  paths: readonly string[],
  { labels, onProgress }: { labels?: Int32Array | undefined; onProgress?: OnProgress | undefined } = {},
): Promise<ImageBank> {
  const fileAt = async (index: number): Promise<ImageFile> => {
    const path = paths[index] as string;
    return imageFile(source.nameOf(path), await source.read(path));
  };
  const first = await fileAt(0);
  const { height, width } = first.header;
  checkMemory(paths.length, first, source.location);

  const table = new PixelTable(paths.length, height, width);
  let done = 0;
  const readImage = async (index: number): Promise<void> => {
    const file = await fileAt(index);
    checkSize(file, first);
    table.write(index, await decodeImage(file), file.header.channels < 3);
    done++;
    if (done % REPORT_EVERY === 0 || done === paths.length) {
      onProgress?.(done, paths.length);
      // Small files are read and decoded without ever waiting: timers and signals get their turn here.
      await setImmediate();
    }
  };
  try {
    // One more than processors, so that reading goes on while all of them decode.
    await inParallel(paths.length, availableParallelism() + 1, readImage);
  } catch (error) {
    table.dispose();
    throw error;
  }
  const name = basename(source.location).replace(/\.zip$/i, "");
  return new ImageBank(name, table.shape, table.pixels, labels);
}

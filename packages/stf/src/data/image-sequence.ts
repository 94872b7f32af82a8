/** A data set as a sequence of images that are decoded one by one, and need not have one size. */

import { basename } from "node:path";
import { scope } from "@stf/torch";
import { type PictureFile, pictureFile } from "../codecs/picture-file.js";
import { interleave } from "../codecs/planes.js";
import { InputError } from "../common/errors.js";
import { type FileSource, filesBelow, type Split } from "./file-source.js";
import type { Classes, ImageBank } from "./image-bank.js";
import { isAnyImagePath } from "./images.js";
import { LABEL_FILE, partsAmong, readLabels } from "./labels.js";
import { type DatasetOptions, noteOthers, openContent, topOf, withReadErrors } from "./open.js";

/** Images in a fixed order. */
export interface ImageSequence {
  /** Name of the data set. */
  readonly name: string;
  /** The path it was read from. */
  readonly location: string;
  /** Number of images. */
  readonly count: number;
  /** Their classes, if there are any. */
  readonly classes: Classes;
  /** Whether the images come from an idx file. */
  readonly isIdx: boolean;
  /** The short name of an image, for lists. */
  pathOf(index: number): string;
  /**
   * An image, not decoded yet.
   *
   * @throws InputError naming the file when it cannot be read or is not an image
   */
  open(index: number): Promise<PictureFile>;
  /** Closes the files and frees the memory. */
  close(): void;
}

/** Options of {@link openImages}. */
export type SequenceOptions = Pick<DatasetOptions, "labels" | "split" | "onNote">;

function sequenceOfBank(location: string, bank: ImageBank, isIdx: boolean): ImageSequence {
  const { shape } = bank;
  const { channels, width, height } = shape;
  const about = { format: "array", width, height, mode: channels === 1 ? "grey" : "rgb" } as const;
  const pathOf = (index: number): string => `image ${index}`;
  return {
    name: bank.name,
    location,
    count: bank.count,
    classes: bank,
    isIdx,
    pathOf,
    async open(index) {
      const name = `${pathOf(index)} of ${location}`;
      return {
        ...{ name, ...about, hasAlpha: false, depth: 8, isTurned: false },
        async decode() {
          const planes = scope(() => bank.pixels.narrow(0, index, 1).toTypedArray() as Uint8Array);
          const picture = { pixels: interleave(planes, shape), width, height, channels };
          return { picture, alpha: undefined, isOdd: false };
        },
      };
    },
    close: () => bank.dispose(),
  };
}

const isTestPart = (name: string): boolean => !/^train/i.test(name);

/** One part of a source whose top folders are parts. */
function partOf(source: FileSource, paths: readonly string[], split: Split): FileSource {
  const parts = partsAmong(paths);
  const own = parts.filter((name) => isTestPart(name) === (split === "test"));
  // There may be a folder for validation, too.
  const part = own.find((name) => /^test/i.test(name)) ?? own[0];
  if (part === undefined) {
    throw new InputError(
      `${source.location} must have a folder ${split} beside other parts for 'split=${split}', found ${parts.join(" and ") || "none"}; leave out 'split', or give the path of the part`,
    );
  }
  return filesBelow(source, `${part}/`);
}

/** Class labels, unless the top folders are parts of a data set. */
async function classesOf(source: FileSource, paths: readonly string[], options: SequenceOptions): Promise<Classes> {
  const { labels = true, onNote } = options;
  if (!labels) return { unlabelled: "labels were not wanted" };
  const parts = source.paths.includes(LABEL_FILE) ? [] : partsAmong(paths);
  if (parts.length === 0) return await readLabels(source, paths, { onNote });
  const line = `${parts.join(" and ")} are parts of a data set, not classes`;
  onNote?.(`${line}: their images are used together, without labels; 'split=train' uses one part with its classes`);
  return { unlabelled: line };
}

/** Images at the given paths of a source. */
function sequenceOf(source: FileSource, paths: readonly string[], classes: Classes, close: () => void): ImageSequence {
  return {
    name: basename(source.location).replace(/\.(zip|tar|tgz|tar\.gz)$/i, ""),
    location: source.location,
    count: paths.length,
    classes,
    isIdx: false,
    pathOf: (index) => paths[index] as string,
    async open(index) {
      const path = paths[index] as string;
      return await pictureFile(source.nameOf(path), await source.read(path));
    },
    close,
  };
}

async function sequenceOfFiles(
  whole: FileSource,
  isArchive: boolean,
  options: SequenceOptions,
): Promise<ImageSequence> {
  const { split, onNote } = options;
  const top = topOf(whole, isArchive, isAnyImagePath);
  const source = split === undefined ? top : partOf(top, top.paths.filter(isAnyImagePath), split);
  const paths = source.paths.filter(isAnyImagePath);
  if (paths.length === 0) {
    throw new InputError(`${source.location} must hold images, found none among ${source.paths.length} files`);
  }
  if (onNote) noteOthers(source, onNote, isAnyImagePath);
  const classes = await classesOf(source, paths, options);
  return sequenceOf(source, paths, classes, () => whole.close());
}

/**
 * Opens a data set of any kind that is read: what `openDataset` reads, without requiring images of one size, images of
 * further formats (WebP, BMP, TIFF, GIF and AVIF), and LMDB databases of images. The order is that of paths or keys.
 *
 * @param options - whether class labels are read (yes when left out), and which part of CIFAR, of an idx set, or of a folder with
 * `train` and `test`
 * @throws InputError when it is missing, damaged, or of an unknown kind
 */
export async function openImages(path: string, options: SequenceOptions = {}): Promise<ImageSequence> {
  return await withReadErrors(path, async () => {
    const content = await openContent(path);
    if (content.kind === "arrays") return sequenceOfBank(path, await content.read(options), content.isIdx);
    const { source } = content;
    try {
      if (content.kind === "records") {
        if (source.paths.length === 0) throw new InputError(`${path} must hold images, found an empty database`);
        return sequenceOf(source, source.paths, { unlabelled: "a database has none" }, () => source.close());
      }
      return await sequenceOfFiles(source, content.isArchive, options);
    } catch (error) {
      source.close();
      throw error;
    }
  });
}

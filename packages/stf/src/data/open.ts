import { closeSync, createReadStream, openSync, readdirSync, readSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isNpy } from "../codecs/npy.js";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { GENERATE_OPTIONS_FILE } from "../run/files.js";
import { holdsCifar, isCifarPath, readCifar } from "./cifar.js";
import { type FileSource, filesBelow, type Split, topFolderOf } from "./file-source.js";
import { openFolder } from "./folder.js";
import { isIdx, isIdxPath, isTest, readIdxImages, trainingImages } from "./idx.js";
import type { ImageBank } from "./image-bank.js";
import { imagePaths, isAnyImagePath, isImagePath, type OnProgress, readImages } from "./images.js";
import { classFoldersAmong, LABEL_FILE, type Numbering, partsAmong, readLabels } from "./labels.js";
import { isLmdb, openLmdb } from "./lmdb.js";
import { isNpyPath, readNumpy } from "./numpy.js";
import { conversionCommand, suggestedSide } from "./suggested-conversion.js";
import { isTar, openTar } from "./tar.js";
import { openZip } from "./zip.js";

/** Options of {@link openDataset}. */
export interface DatasetOptions {
  /** Whether to read class labels, if there are any. Default: true. If false, a damaged label file does not matter. */
  labels?: boolean;
  /**
   * How class folders are numbered: "natural", with numbers in names ordered by value; "text", as text; or as in a list
   * of names, if all folders are in it. Default: "natural".
   */
  numbering?: Numbering;
  /** Which part of CIFAR or an idx set; the training images when left out. */
  split?: Split | undefined;
  /** A folder in which decoded images are kept, and from which they are read when the files are the same. Default: none. */
  cache?: string;
  /** Called while images are decoded. */
  onProgress?: OnProgress;
  /** Called with notes on the data set, one line each. */
  onNote?: (line: string) => void;
  /** If labels are not read: called with the top-level folders that look like classes, when there are any. */
  onClassFolders?: (folders: readonly string[]) => void;
}

/** Number of bytes at the start of a file that identify its kind. */
const HEAD_BYTES = 4096;

function headOf(path: string): Buffer {
  const bytes = Buffer.alloc(HEAD_BYTES);
  const descriptor = openSync(path, "r");
  try {
    return bytes.subarray(0, readSync(descriptor, bytes, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(descriptor);
  }
}

const kinds = {
  gzip: "1f8b",
  zip: "504b",
  bzip2: "425a68",
  xz: "fd377a585a00",
  zstd: "28b52ffd",
} as const;

/**
 * The common top folder, if all images are in one, as in many archives. A folder that directly holds images stays
 * a class if the user named its parent.
 */
export function topOf(source: FileSource, isArchive: boolean, isImage = isImagePath): FileSource {
  const images = source.paths.filter(isImage);
  const top = topFolderOf(images[0] ?? "");
  if (top === "" || source.paths.includes(LABEL_FILE) || !images.every((path) => topFolderOf(path) === top)) {
    return source;
  }
  const below = filesBelow(source, `${top}/`);
  const hasFolders = below.paths.filter(isImage).every((path) => topFolderOf(path) !== "");
  return isArchive || hasFolders || below.paths.includes(LABEL_FILE) ? topOf(below, isArchive, isImage) : source;
}

/** A note on files other than images. */
export function noteOthers({ paths }: FileSource, onNote: (line: string) => void, isImage = isImagePath): void {
  const expected = [LABEL_FILE, GENERATE_OPTIONS_FILE];
  const others = paths.filter((path) => !isImage(path) && !expected.includes(path));
  if (others.length > 0) {
    const files =
      others.length === 1 ? "1 file that is not an image was" : `${others.length} files that are not images were`;
    onNote(`${files} skipped: ${abbreviated(others)}`);
  }
}

async function readImageFiles(whole: FileSource, isArchive: boolean, options: DatasetOptions): Promise<ImageBank> {
  const { labels = true, numbering, onProgress, onNote } = options;
  const source = topOf(whole, isArchive);
  const paths = imagePaths(source);
  if (onNote) noteOthers(source, onNote);
  if (labels && source.top !== undefined) onNote?.(`all images are in ${source.top}, which is used as the top folder`);
  // Before the images, so that a wrong label does not cost a minute of decoding.
  const classes = labels ? await readLabels(source, paths, { numbering, onNote }) : undefined;
  const parts = labels ? [] : partsAmong(paths);
  if (parts.length > 0) {
    onNote?.(`using the images of ${parts.join(" and ")} together; for one part give its folder`);
  }
  const folders = labels ? [] : classFoldersAmong(paths);
  if (folders.length > 0) options.onClassFolders?.(folders);
  return await readImages(source, paths, { classes, cache: options.cache, onProgress, onNote });
}

/** What a path holds: image files to decode, or arrays of images. */
export type Content =
  | { readonly kind: "files"; readonly source: FileSource; readonly isArchive: boolean }
  /** Values without names, all of which are images. */
  | { readonly kind: "records"; readonly source: FileSource }
  | { readonly kind: "arrays"; readonly isIdx: boolean; read(options: DatasetOptions): Promise<ImageBank> };

/** Arrays read from a source, which is then closed. */
function arraysIn(source: FileSource, isIdx: boolean, read: (options: DatasetOptions) => Promise<ImageBank>): Content {
  return { kind: "arrays", isIdx, read: (options) => read(options).finally(() => source.close()) };
}

/** The content of a folder or an archive. */
function contentOf(source: FileSource, isArchive: boolean): Content {
  const { paths } = source;
  if (!paths.some(isAnyImagePath)) {
    if (holdsCifar(paths)) return arraysIn(source, false, (options) => readCifar(source, options));
    if (paths.some(isIdxPath)) {
      return arraysIn(source, true, async (options) => {
        const images = trainingImages(source, options);
        if (images !== undefined) return await readIdxImages(source, images, options);
        return await readImageFiles(source, isArchive, options);
      });
    }
    if (paths.some(isNpyPath)) {
      return arraysIn(source, false, (options) => readNumpy(source, options));
    }
  }
  return { kind: "files", source, isArchive };
}

/** A file with the others in its folder. */
function openNeighbours(path: string): FileSource {
  const folder = dirname(path);
  return {
    location: folder,
    paths: readdirSync(folder).sort(),
    nameOf: (name) => join(folder, name),
    read: (name) => readFile(join(folder, name)),
    close() {},
  };
}

/** An idx file, with its labels among the others of its folder. */
function idxFile(path: string): Content {
  const source = openNeighbours(path);
  return arraysIn(source, true, (options) => {
    const { split } = options;
    if (split !== undefined && (split === "test") !== isTest(basename(path))) {
      throw new InputError(`${path} is not named like ${split} images; give the path of that file, or of the folder`);
    }
    return readIdxImages(source, basename(path), options);
  });
}

/** A single file. */
function openAlone(path: string): FileSource {
  return {
    location: path,
    paths: [`${basename(path).replace(/\.npy$/i, "")}.npy`],
    nameOf: () => path,
    read: () => readFile(path),
    pieces: () => createReadStream(path, { highWaterMark: 2 ** 20 }),
    close() {},
  };
}

/** Files of a tar archive that are read. */
const isTarContent = (path: string): boolean =>
  isCifarPath(path) || isAnyImagePath(path) || isIdxPath(path) || basename(path) === LABEL_FILE;

/**
 * Recognises what a path holds.
 *
 * @throws InputError when it is missing, damaged, or of an unknown kind
 */
export async function openContent(path: string): Promise<Content> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) throw new InputError(`there is no data set at ${path}`);
  if (status.isDirectory()) {
    return isLmdb(path) ? { kind: "records", source: openLmdb(path) } : contentOf(openFolder(path), false);
  }
  if (status.isFile()) {
    const head = headOf(path);
    const is = (kind: keyof typeof kinds): boolean => head.toString("hex").startsWith(kinds[kind]);
    if (isNpy(head)) {
      const source = openAlone(path);
      return arraysIn(source, false, (options) => readNumpy(source, options));
    }
    if (isIdx(head) || isIdxPath(path)) return idxFile(path);
    if (is("zip") || /\.(zip|npz)$/i.test(path)) return contentOf(await openZip(path), true);
    if (is("gzip") || isTar(head)) return contentOf(await openTar(path, isTarContent, { gzipped: is("gzip") }), true);
    const packed = (["bzip2", "xz", "zstd"] as const).find(is);
    if (packed) {
      throw new InputError(
        `${path} is packed with ${packed}, which is not supported; unpack it, and give the resulting folder`,
      );
    }
  }
  throw new InputError(
    `${path} is not a known kind of data set; supported: folders, zip and tar archives of images, CIFAR-10 and CIFAR-100, MNIST-style idx files, NumPy's npz and npy files`,
  );
}

/** The result of `work`, with failures of the file system as InputErrors about the path. */
export async function withReadErrors<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof Error && "syscall" in cause) {
      throw new InputError(`${path} cannot be read (${cause.message})`, { cause });
    }
    throw cause;
  }
}

async function read(path: string, options: DatasetOptions): Promise<ImageBank> {
  const content = await openContent(path);
  if (content.kind === "arrays") return await content.read(options);
  const { source } = content;
  try {
    if (content.kind === "files") return await readImageFiles(source, content.isArchive, options);
    const side = suggestedSide(Number.POSITIVE_INFINITY);
    throw new InputError(`${path} is a database of images, which must be converted: ${conversionCommand(path, side)}`);
  } finally {
    source.close();
  }
}

/**
 * Reads a data set into memory. Its kind is recognised by content and name:
 *
 * - a folder, zip or tar archive of PNG and JPEG images, in sub-folders or not, the archives of the EDM code among them; the
 *   order is that of the paths; classes come from `dataset.json`, else from the top-level folders, whose names they get; if
 *   an archive has a single top folder, paths start inside it;
 * - CIFAR-10 and CIFAR-100, the python or the binary version: the published archive, another tar or zip archive, or a folder;
 * - MNIST-style idx files, with the labels in the companion file; of a folder with several, the training images;
 * - NumPy's npz and npy files, or a folder of npy files: an array of bytes `[N, H, W, C]`, `[N, C, H, W]` or `[N, H, W]` and
 *   labels, whole numbers `[N]`.
 *
 * @throws InputError when it is missing, damaged, or of an unknown kind
 */
export async function openDataset(path: string, options: DatasetOptions = {}): Promise<ImageBank> {
  return await withReadErrors(path, () => read(path, options));
}

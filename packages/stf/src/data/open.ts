import { closeSync, createReadStream, openSync, readdirSync, readSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isNpy } from "../codecs/npy.js";
import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { GENERATE_OPTIONS_FILE } from "../run/files.js";
import { holdsCifar, isCifarPath, readCifar } from "./cifar.js";
import { type FileSource, filesBelow, topFolderOf } from "./file-source.js";
import { openFolder } from "./folder.js";
import { isIdx, isIdxPath, readIdxImages, trainingImages } from "./idx.js";
import type { ImageBank } from "./image-bank.js";
import { imagePaths, isImagePath, type OnProgress, readImages } from "./images.js";
import { classFoldersAmong, LABEL_FILE, type Numbering, partsAmong, readLabels } from "./labels.js";
import { isNpyPath, readNumpy } from "./numpy.js";
import { isTar, readTar } from "./tar.js";
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
function topOf(source: FileSource, isArchive: boolean): FileSource {
  const images = source.paths.filter(isImagePath);
  const top = topFolderOf(images[0] ?? "");
  if (top === "" || source.paths.includes(LABEL_FILE) || !images.every((path) => topFolderOf(path) === top)) {
    return source;
  }
  const below = filesBelow(source, `${top}/`);
  const hasFolders = below.paths.filter(isImagePath).every((path) => topFolderOf(path) !== "");
  return isArchive || hasFolders || below.paths.includes(LABEL_FILE) ? topOf(below, isArchive) : source;
}

/** A note on files other than images. */
function noteOthers({ paths }: FileSource, onNote: (line: string) => void): void {
  const expected = [LABEL_FILE, GENERATE_OPTIONS_FILE];
  const others = paths.filter((path) => !isImagePath(path) && !expected.includes(path));
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

/** Reads a folder or an archive according to its content. */
async function readSource(source: FileSource, isArchive: boolean, options: DatasetOptions): Promise<ImageBank> {
  try {
    if (!source.paths.some(isImagePath)) {
      if (holdsCifar(source.paths)) return await readCifar(source, options);
      const images = trainingImages(source, options.onNote);
      if (images !== undefined) return await readIdxImages(source, images, options);
      if (source.paths.some(isNpyPath)) return await readNumpy(source, options);
    }
    return await readImageFiles(source, isArchive, options);
  } finally {
    source.close();
  }
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

/** The files of CIFAR in a tar archive. */
async function openTar(archive: string, gzipped: boolean): Promise<FileSource> {
  const files = await readTar(archive, isCifarPath, { gzipped });
  return {
    location: archive,
    paths: [...files.keys()].sort(),
    nameOf: (path) => `${path} in ${archive}`,
    read: async (path) => files.get(path) as Uint8Array,
    close() {},
  };
}

async function read(path: string, options: DatasetOptions): Promise<ImageBank> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) throw new InputError(`there is no data set at ${path}`);
  if (status.isDirectory()) return readSource(openFolder(path), false, options);
  if (status.isFile()) {
    const head = headOf(path);
    const is = (kind: keyof typeof kinds): boolean => head.toString("hex").startsWith(kinds[kind]);
    if (isNpy(head)) return readNumpy(openAlone(path), options);
    if (isIdx(head) || isIdxPath(path)) return readIdxImages(openNeighbours(path), basename(path), options);
    if (is("zip") || /\.(zip|npz)$/i.test(path)) return readSource(await openZip(path), true, options);
    if (is("gzip") || isTar(head)) return readCifar(await openTar(path, is("gzip")), options);
    const packed = (["bzip2", "xz", "zstd"] as const).find(is);
    if (packed) {
      throw new InputError(
        `${path} is packed with ${packed}, which is not supported; unpack it, and give the resulting folder`,
      );
    }
  }
  throw new InputError(
    `${path} is not a known kind of data set; supported: a folder or zip of PNG and JPEG images, CIFAR-10 and CIFAR-100 as tar, tar.gz, zip or folder, MNIST-style idx files and folders with them, NumPy's npz and npy files`,
  );
}

/**
 * Reads a data set into memory. Its kind is recognised by content and name:
 *
 * - a folder or zip archive of PNG and JPEG images, in sub-folders or not, the archives of the EDM code among them; the
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
  try {
    return await read(path, options);
  } catch (cause) {
    if (cause instanceof Error && "syscall" in cause) {
      throw new InputError(`${path} cannot be read (${cause.message})`, { cause });
    }
    throw cause;
  }
}

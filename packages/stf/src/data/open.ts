import { closeSync, openSync, readSync, statSync } from "node:fs";
import { InputError } from "../common/errors.js";
import { readCifar } from "./cifar.js";
import type { FileSource } from "./file-source.js";
import { openFolder } from "./folder.js";
import { isIdxFile, readIdxImages } from "./idx.js";
import type { ImageBank } from "./image-bank.js";
import { imagePaths, type OnProgress, readImages } from "./images.js";
import { readLabels } from "./labels.js";
import { openZip } from "./zip.js";

/** How {@link openDataset} reads. */
export interface DatasetOptions {
  /** Whether class labels are read, where there are any. Default: true. Without them a damaged label file does not matter. */
  labels?: boolean;
  /** Called while images are decoded. */
  onProgress?: OnProgress;
}

const GZIP = "1f8b";
const ZIP = "504b";

/** The first two bytes in hexadecimal. */
function signature(path: string): string {
  const bytes = Buffer.alloc(2);
  const descriptor = openSync(path, "r");
  try {
    readSync(descriptor, bytes, 0, 2, 0);
  } finally {
    closeSync(descriptor);
  }
  return bytes.toString("hex");
}

async function readImageFiles(source: FileSource, { labels = true, onProgress }: DatasetOptions): Promise<ImageBank> {
  try {
    const paths = imagePaths(source);
    // Before the images: a wrong label shall not cost a minute of decoding.
    const classes = labels ? await readLabels(source, paths) : undefined;
    return await readImages(source, paths, { labels: classes, onProgress });
  } finally {
    source.close();
  }
}

async function read(path: string, options: DatasetOptions): Promise<ImageBank> {
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status) throw new InputError(`there is no data set at ${path}`);
  if (status.isDirectory()) return readImageFiles(openFolder(path), options);
  if (status.isFile()) {
    const kind = signature(path);
    if (isIdxFile(path)) return readIdxImages(path, options);
    if (kind === ZIP || /\.zip$/i.test(path)) return readImageFiles(await openZip(path), options);
    if (kind === GZIP) return readCifar(path, options);
  }
  throw new InputError(
    `${path} is of no known kind; supported: a folder or zip of PNG and JPEG images, cifar-10-python.tar.gz, cifar-10-binary.tar.gz, MNIST-style files named ...-images-idx3-ubyte or ...-idx3-ubyte.gz`,
  );
}

/**
 * Reads a data set into memory. Its kind is told from content and name:
 *
 * - a folder or zip archive of PNG and JPEG images, in sub-folders or not, the archives of the EDM code among them; the
 *   order is that of the paths; classes come from `dataset.json`, else from the top-level folders;
 * - CIFAR-10, `cifar-10-python.tar.gz` or `cifar-10-binary.tar.gz`;
 * - MNIST-style idx files, with the labels in the companion file.
 *
 * @throws InputError when it is missing, damaged, or of no known kind
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

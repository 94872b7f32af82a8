/** A set of images as one file: a zip archive of PNGs, as EDM's data sets are, or NumPy's npz, as ADM's evaluation reads. */

import { createWriteStream, renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { syncFolder } from "@stf/torch";
import { ZipFile } from "yazl";
import { npyHeader } from "../codecs/npy.js";
import { interleave } from "../codecs/planes.js";
import type { ImageShape } from "../common/image-shape.js";
import { formatLabels, LABEL_FILE } from "../data/labels.js";
import { GENERATE_OPTIONS_FILE } from "../run/files.js";
import type { ImageSet } from "./image-set.js";

/** The contents of an archive. */
export interface ArchiveContent {
  readonly images: ImageSet;
  readonly shape: ImageShape;
  readonly seeds: readonly number[];
  /** The class of each image, if they have classes. */
  readonly classes: readonly number[] | undefined;
  /** Names of the classes by number. */
  readonly classNames?: readonly string[] | undefined;
  /** How the images were drawn, as JSON. */
  readonly record: Uint8Array;
}

/** The fixed date of all files, so that equal images make equal archives. */
const EPOCH = new Date("1980-01-01T00:00:00");

/** PNGs are compressed already, and arrays of generated images hardly compress. */
const STORED = { compress: false, mtime: EPOCH, mode: 0o100644, forceDosTimestamp: true } as const;

function addNpz(zip: ZipFile, { images, shape, seeds, classes }: ArchiveContent): void {
  const { channels, height, width } = shape;
  const header = npyHeader("uint8", [seeds.length, height, width, channels]);
  const size = header.length + seeds.length * channels * height * width;
  zip.addReadStreamLazy("arr_0.npy", { ...STORED, size }, (ready) => {
    const parts = function* () {
      yield header;
      for (const seed of seeds) yield Buffer.from(interleave(images.read(seed), shape));
    };
    ready(null, Readable.from(parts()));
  });
  if (!classes) return;
  const labels = Buffer.from(BigInt64Array.from(classes, BigInt).buffer);
  zip.addBuffer(Buffer.concat([npyHeader("int64", [classes.length]), labels]), "arr_1.npy", STORED);
}

function addPngs(zip: ZipFile, { images, seeds, classes, classNames, record }: ArchiveContent): void {
  const labels = formatLabels(classes ? images.labels(seeds, classes) : null, classNames);
  zip.addBuffer(Buffer.from(labels), LABEL_FILE, STORED);
  zip.addBuffer(Buffer.from(record), GENERATE_OPTIONS_FILE, STORED);
  for (const seed of seeds) zip.addFile(join(images.folder, images.nameOf(seed)), images.nameOf(seed), STORED);
}

/**
 * Writes the images as one file, *.zip or *.npz, which appears under its name only when complete.
 *
 * @throws errors of the file system, such as a full disk.
 */
export async function writeArchive(path: string, content: ArchiveContent): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}.partial`);
  const zip = new ZipFile();
  const stream = Readable.from(zip.outputStream);
  zip.on("error", (error: Error) => stream.destroy(error));
  try {
    if (/\.npz$/i.test(path)) addNpz(zip, content);
    else addPngs(zip, content);
    zip.end();
    await pipeline(stream, createWriteStream(temporary));
    const file = await open(temporary, "r+");
    await file.sync().finally(() => file.close());
    renameSync(temporary, path);
    syncFolder(dirname(path));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

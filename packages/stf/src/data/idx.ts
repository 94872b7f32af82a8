/** The idx format of MNIST and its relatives, plain or gzipped, under the various names of its files. */

import { basename } from "node:path";
import { constants, gunzipSync } from "node:zlib";
import { InputError } from "../common/errors.js";
import type { FileSource, Split } from "./file-source.js";
import { ImageBank } from "./image-bank.js";

const UNSIGNED_BYTES = 0x08;
const IMAGE_AXES = 3;
const GZIP = 0x8b1f;

interface IdxArray {
  readonly sizes: readonly number[];
  readonly bytes: Uint8Array;
}

/** Whether a file's first bytes are those of an idx array, gzipped or not. */
export function isIdx(start: Uint8Array): boolean {
  const raw = Buffer.from(start);
  const bytes = (() => {
    if (raw.length < 4 || raw.readUInt16LE() !== GZIP) return raw;
    try {
      return gunzipSync(raw, { finishFlush: constants.Z_SYNC_FLUSH });
    } catch {
      return raw;
    }
  })();
  return bytes.length >= 4 && bytes.readUInt16BE() === 0 && bytes[2] === UNSIGNED_BYTES && (bytes[3] as number) <= 4;
}

/** A file name without irrelevant differences: train-images.idx3-ubyte.gz is train-images-idx3-ubyte. */
const plainName = (path: string): string => basename(path).toLowerCase().replace(/\.gz$/, "").replace(/[._]/g, "-");

/** Whether a file is named like idx images. */
export const isIdxPath = (path: string): boolean => /idx\d?(-ubyte)?$/.test(plainName(path));

const isImages = (path: string): boolean => /idx3(-ubyte)?$/.test(plainName(path));

const labelName = (path: string): string => plainName(path).replace("images", "labels").replace("idx3", "idx1");

function unpacked(raw: Uint8Array, name: string): Uint8Array {
  if (raw[0] !== 0x1f || raw[1] !== 0x8b) return raw;
  try {
    return gunzipSync(raw);
  } catch (cause) {
    throw new InputError(`${name} is damaged or truncated: it cannot be unzipped. Download it again.`, { cause });
  }
}

async function readIdx(source: FileSource, path: string, axes: number): Promise<IdxArray> {
  const name = source.nameOf(path);
  const bytes = unpacked(await source.read(path), name);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (
    bytes.length < 4 + 4 * axes ||
    view.getUint16(0) !== 0 ||
    view.getUint8(2) !== UNSIGNED_BYTES ||
    view.getUint8(3) !== axes
  ) {
    const advice = /labels/.test(plainName(path)) ? "; give the file with the images" : "";
    throw new InputError(
      `${name} is not an idx file of unsigned bytes with ${axes} ${axes === 1 ? "axis" : "axes"}${axes === 1 ? "" : advice}`,
    );
  }
  const sizes = Array.from({ length: axes }, (_, axis) => view.getUint32(4 + 4 * axis));
  const data = bytes.subarray(4 + 4 * axes);
  const expected = sizes.reduce((product, size) => product * size, 1);
  if (data.length !== expected) {
    throw new InputError(
      `${name} is damaged or truncated: its header promises ${expected} bytes (${sizes.join(" x ")}), found ${data.length}`,
    );
  }
  return { sizes, bytes: data };
}

/** The label file that belongs to images by name, preferably in the same folder, and preferably unpacked. */
function labelFile({ paths }: FileSource, images: string): string | undefined {
  const name = labelName(images);
  const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);
  const rank = (path: string): number =>
    (folderOf(path) === folderOf(images) ? 0 : 2) + Number(/\.gz$/i.test(path) !== /\.gz$/i.test(images));
  return paths.filter((path) => path !== images && plainName(path) === name).sort((a, b) => rank(a) - rank(b))[0];
}

/**
 * Greyscale images `[N, 1, H, W]` and, from the companion file among the others, their labels.
 *
 * @param path - path of the images in the source
 * @param options.labels - whether the companion file is read
 * @throws InputError naming the file when it is truncated, damaged or not an idx file.
 */
export async function readIdxImages(
  source: FileSource,
  path: string,
  { labels: wanted = true }: { labels?: boolean } = {},
): Promise<ImageBank> {
  const images = await readIdx(source, path, IMAGE_AXES);
  const [count = 0, height = 0, width = 0] = images.sizes;
  if (images.bytes.length === 0) throw new InputError(`${source.nameOf(path)} holds no images`);
  const companion = wanted ? labelFile(source, path) : undefined;
  const labels = companion === undefined ? undefined : Int32Array.from((await readIdx(source, companion, 1)).bytes);
  if (labels && labels.length !== count) {
    throw new InputError(
      `${source.nameOf(companion as string)} has ${labels.length} labels for the ${count} images of ${source.nameOf(path)}`,
    );
  }
  const name =
    basename(path)
      .replace(/\.gz$/i, "")
      .replace(/[-._]?idx3([-._]?ubyte)?$/i, "") || "idx";
  if (labels) return ImageBank.fromBytes(name, { channels: 1, height, width }, images.bytes, { labels });
  const unlabelled = `${source.nameOf(path)} has no ${labelName(path)} next to it, with or without .gz, with dots or hyphens`;
  return ImageBank.fromBytes(name, { channels: 1, height, width }, images.bytes, { unlabelled });
}

/** Whether a file is named like images for tests. */
export const isTest = (path: string): boolean => /(^|-)(t10k|test|val|validation)(-|$)/.test(plainName(path));

/**
 * The images to train on among the files of a data set: the only set, or the one that is not for tests; or those for tests.
 *
 * @param options.split - which part must be there; when left out, the training images, or the only ones
 * @returns undefined when there are none
 * @throws InputError when there are several
 */
export function trainingImages(
  { paths, nameOf, location }: FileSource,
  { split, onNote }: { split?: Split | undefined; onNote?: ((line: string) => void) | undefined } = {},
): string | undefined {
  const sets = new Map<string, string>();
  // A set may exist both packed and unpacked; the unpacked one counts.
  for (const path of paths.filter(isImages)) {
    const known = sets.get(plainName(path));
    if (known === undefined || /\.gz$/i.test(known)) sets.set(plainName(path), path);
  }
  const all = [...sets.values()];
  if (all.length === 0) return undefined;
  const part = all.filter((path) => isTest(path) === (split === "test"));
  if (split !== undefined && part.length === 0)
    throw new InputError(`${location} holds no ${split} images in idx files`);
  const [chosen, ...others] = part.length > 0 ? part : all;
  if (others.length > 0) {
    throw new InputError(
      `${location} holds several sets of images; give the path of one: ${[chosen as string, ...others].map(nameOf).join(", ")}`,
    );
  }
  const left = all.filter((path) => path !== chosen);
  const rest = split === undefined && left.length > 0 ? `; for others give ${left.map(nameOf).join(" or ")}` : "";
  onNote?.(`using the images of ${nameOf(chosen as string)}${rest}`);
  return chosen;
}

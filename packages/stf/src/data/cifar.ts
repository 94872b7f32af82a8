/** CIFAR-10 and CIFAR-100 as their authors publish them, the python and the binary version, repacked or unpacked. */

import { NumpyArray, numpyNames, type PickleValue, pickleText, readPickle } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import type { FileSource, Split } from "./file-source.js";
import { ImageBank } from "./image-bank.js";

const shape: ImageShape = { channels: 3, height: 32, width: 32 };
const IMAGE_BYTES = 3 * 32 * 32;

/** The file layout of one of the data sets. */
interface Layout {
  readonly name: string;
  readonly title: string;
  readonly classes: number;
  /** Names of the files with the images of each part, in order; the binary ones end in .bin. */
  readonly batches: Readonly<Record<Split, readonly string[]>>;
  /** The key of the labels in pickles. */
  readonly labels: string;
  /** Bytes of a binary record before the pixels; the last is the label. */
  readonly labelBytes: number;
  /** Files with the class names: a pickle and its key, and a text file with one name per line. */
  readonly names: { readonly pickle: string; readonly key: string; readonly text: string };
}

const cifar10: Layout = {
  name: "cifar10",
  title: "CIFAR-10",
  classes: 10,
  batches: { train: [1, 2, 3, 4, 5].map((number) => `data_batch_${number}`), test: ["test_batch"] },
  labels: "labels",
  labelBytes: 1,
  names: { pickle: "batches.meta", key: "label_names", text: "batches.meta.txt" },
};

const cifar100: Layout = {
  name: "cifar100",
  title: "CIFAR-100",
  classes: 100,
  batches: { train: ["train"], test: ["test"] },
  labels: "fine_labels",
  labelBytes: 2,
  names: { pickle: "meta", key: "fine_label_names", text: "fine_label_names.txt" },
};

const nameIn = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const folderIn = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);

/** Whether a file of an archive may belong to one of the data sets. */
export function isCifarPath(path: string): boolean {
  const name = nameIn(path);
  return [cifar10, cifar100].some(({ batches, names }) =>
    [...batches.train, ...batches.test, names.pickle, names.text].includes(name.replace(/\.bin$/, "")),
  );
}

/** The data set that files belong to, and the folder of its first batch; undefined when they hold none. */
function found(paths: readonly string[]): { layout: Layout; folder: string } | undefined {
  const batch = paths.find((path) => /^data_batch_\d(\.bin)?$/.test(nameIn(path)));
  if (batch !== undefined) return { layout: cifar10, folder: folderIn(batch) };
  const isBeside = (name: string, other: string): boolean => paths.includes(folderIn(other) + name);
  const train = paths.find(
    (path) =>
      /^train(\.bin)?$/.test(nameIn(path)) && (isBeside("meta", path) || isBeside("fine_label_names.txt", path)),
  );
  return train === undefined ? undefined : { layout: cifar100, folder: folderIn(train) };
}

/** Whether files belong to one of the data sets. */
export const holdsCifar = (paths: readonly string[]): boolean => found(paths) !== undefined;

interface Batch {
  /** Image after image, in the order C, H, W. */
  readonly pixels: Uint8Array;
  readonly labels: ArrayLike<number>;
}

/** Records of label bytes followed by the bytes of an image. */
function parseBinary(bytes: Uint8Array, { labelBytes }: Layout): Batch {
  const record = labelBytes + IMAGE_BYTES;
  const count = bytes.length / record;
  if (!Number.isInteger(count))
    throw new Error(`${bytes.length} bytes are not a whole number of ${record}-byte records`);
  const pixels = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    const start = i * record + labelBytes;
    labels[i] = bytes[start - 1] as number;
    pixels.set(bytes.subarray(start, start + IMAGE_BYTES), i * IMAGE_BYTES);
  }
  return { pixels, labels };
}

function isNumber(value: PickleValue): value is number {
  return typeof value === "number";
}

/** The numbers of a list, or of an array of whole numbers. */
function numbersIn(value: PickleValue | undefined): readonly number[] | undefined {
  if (Array.isArray(value)) return value.every(isNumber) ? value : undefined;
  if (!(value instanceof NumpyArray)) return undefined;
  const { bytes } = value;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (value.dtype === "uint8") return Array.from(bytes);
  if (value.dtype === "int32") return Array.from({ length: bytes.length / 4 }, (_, i) => view.getInt32(4 * i, true));
  if (value.dtype !== "int64") return undefined;
  return Array.from({ length: bytes.length / 8 }, (_, i) => Number(view.getBigInt64(8 * i, true)));
}

/** A dictionary with `data`, bytes `[N, 3072]` or `[N, 3, 32, 32]`, and the labels, a list. */
function parsePickle(bytes: Uint8Array, layout: Layout): Batch {
  const content = readPickle(bytes, { names: numpyNames });
  const data = content instanceof Map ? content.get("data") : undefined;
  const labels = numbersIn(content instanceof Map ? content.get(layout.labels) : undefined);
  const columns = data instanceof NumpyArray ? data.shape.slice(1).reduce((product, size) => product * size, 1) : 0;
  if (!(data instanceof NumpyArray) || data.dtype !== "uint8" || columns !== IMAGE_BYTES) {
    throw new Error(`"data" must be an array of bytes with ${IMAGE_BYTES} columns`);
  }
  if (!labels) throw new Error(`"${layout.labels}" must be a list of numbers`);
  return { pixels: data.bytes, labels };
}

function checkBatch({ pixels, labels }: Batch, { classes }: Layout): void {
  const count = pixels.length / IMAGE_BYTES;
  if (labels.length !== count) throw new Error(`${labels.length} labels for ${count} images`);
  const wrong = Array.from(labels).find((label) => !Number.isInteger(label) || label < 0 || label >= classes);
  if (wrong !== undefined) throw new Error(`labels must be 0 to ${classes - 1}, found ${wrong}`);
}

async function readBatch(source: FileSource, path: string, layout: Layout): Promise<Batch> {
  const bytes = await source.read(path);
  try {
    const batch = path.endsWith(".bin") ? parseBinary(bytes, layout) : parsePickle(bytes, layout);
    checkBatch(batch, layout);
    return batch;
  } catch (cause) {
    throw new InputError(
      `${source.nameOf(path)} is not a batch of ${layout.title}: ${(cause as Error).message}; download it again`,
      { cause },
    );
  }
}

/** The class names, from files next to the batches. Failures are ignored, because the names are optional. */
async function namesOf(source: FileSource, folder: string, { names }: Layout): Promise<readonly string[] | undefined> {
  const [pickle, text] = [folder + names.pickle, folder + names.text];
  try {
    if (source.paths.includes(text)) {
      const lines = new TextDecoder().decode(await source.read(text)).split(/\r?\n/);
      return lines.map((line) => line.trim()).filter((line) => line !== "");
    }
    if (!source.paths.includes(pickle)) return undefined;
    const content = readPickle(await source.read(pickle), { names: numpyNames });
    const list = content instanceof Map ? content.get(names.key) : undefined;
    return Array.isArray(list) ? list.map(pickleText) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The training images of CIFAR-10, `[50000, 3, 32, 32]`, in the order of the batches, with labels 0 to 9; or those of CIFAR-100,
 * with the fine labels 0 to 99; or the 10,000 images for tests.
 *
 * @param source - the files, of either version, in any folder
 * @param options.labels - whether the bank gets the labels
 * @param options.split - which part; the training images when left out
 * @throws InputError when it is damaged or truncated, or lacks a batch
 */
export async function readCifar(
  source: FileSource,
  { labels = true, split = "train" }: { labels?: boolean; split?: Split | undefined } = {},
): Promise<ImageBank> {
  const { layout, folder } = found(source.paths) ?? { layout: cifar10, folder: "" };
  const own = source.paths.filter((path) => folderIn(path) === folder);
  const paths = layout.batches[split].map((name) => {
    const path = own.find((candidate) => nameIn(candidate).replace(/\.bin$/, "") === name);
    if (path !== undefined) return path;
    if (split === "test") {
      throw new InputError(`${source.location} must hold the images for tests of ${layout.title}, found no ${name}`);
    }
    const count = own.filter((candidate) => /^data_batch_\d(\.bin)?$/.test(nameIn(candidate))).length;
    throw new InputError(
      `${source.location} must hold the batches 1 to 5 of CIFAR-10 (data_batch_1 or data_batch_1.bin, ...), or the training images of CIFAR-100 (train or train.bin, with meta or fine_label_names.txt), found ${count} without batch ${name.slice(-1)}`,
    );
  });
  const batches: Batch[] = [];
  for (const path of paths) batches.push(await readBatch(source, path, layout));
  const pixels = Buffer.concat(batches.map((batch) => batch.pixels));
  if (!labels) return ImageBank.fromBytes(layout.name, shape, pixels);
  const classes = Int32Array.from(batches.flatMap((batch) => Array.from(batch.labels)));
  const classNames = (await namesOf(source, folder, layout))?.slice(0, 1 + Math.max(...new Set(classes)));
  return ImageBank.fromBytes(layout.name, shape, pixels, { labels: classes, classNames });
}

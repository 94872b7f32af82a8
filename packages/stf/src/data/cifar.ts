/** CIFAR-10 as its authors publish it: the python and the binary version, 50,000 training images in five batches. */

import { NumpyArray, numpyNames, type PickleValue, readPickle } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import { ImageBank } from "./image-bank.js";
import { readTarGz } from "./tar.js";

const shape: ImageShape = { channels: 3, height: 32, width: 32 };
const IMAGE_BYTES = 3 * 32 * 32;
const CLASSES = 10;
const BATCHES = [1, 2, 3, 4, 5];
const BATCH_FILE = /(?:^|\/)data_batch_(\d)(\.bin)?$/;

interface Batch {
  /** Image after image, in the order C, H, W. */
  readonly pixels: Uint8Array;
  readonly labels: ArrayLike<number>;
}

/** Records of one byte for the class and the bytes of an image. */
function parseBinary(bytes: Uint8Array): Batch {
  const record = 1 + IMAGE_BYTES;
  const count = bytes.length / record;
  if (!Number.isInteger(count)) throw new Error(`${bytes.length} bytes are no whole number of records of ${record}`);
  const pixels = new Uint8Array(count * IMAGE_BYTES);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = bytes[i * record] as number;
    pixels.set(bytes.subarray(i * record + 1, (i + 1) * record), i * IMAGE_BYTES);
  }
  return { pixels, labels };
}

function isNumber(value: PickleValue): value is number {
  return typeof value === "number";
}

/** A dictionary with `data`, bytes `[N, 3072]`, and `labels`, a list. */
function parsePickle(bytes: Uint8Array): Batch {
  const content = readPickle(bytes, { names: numpyNames });
  const data = content instanceof Map ? content.get("data") : undefined;
  const labels = content instanceof Map ? content.get("labels") : undefined;
  if (!(data instanceof NumpyArray) || data.dtype !== "uint8" || data.shape[1] !== IMAGE_BYTES) {
    throw new Error(`"data" must be an array of bytes with ${IMAGE_BYTES} columns`);
  }
  if (!Array.isArray(labels) || !labels.every(isNumber)) throw new Error('"labels" must be a list of numbers');
  return { pixels: data.bytes, labels };
}

function checkBatch({ pixels, labels }: Batch): void {
  const count = pixels.length / IMAGE_BYTES;
  if (labels.length !== count) throw new Error(`${labels.length} labels for ${count} images`);
  const wrong = Array.from(labels).find((label) => !Number.isInteger(label) || label < 0 || label >= CLASSES);
  if (wrong !== undefined) throw new Error(`labels must be 0 to ${CLASSES - 1}, found ${wrong}`);
}

function parseBatch(path: string, bytes: Uint8Array, archive: string): Batch {
  try {
    const batch = path.endsWith(".bin") ? parseBinary(bytes) : parsePickle(bytes);
    checkBatch(batch);
    return batch;
  } catch (cause) {
    throw new InputError(`${path} in ${archive} is no batch of CIFAR-10: ${(cause as Error).message}; fetch it again`, {
      cause,
    });
  }
}

/**
 * The training images of CIFAR-10, `[50000, 3, 32, 32]`, in the order of the batches, with labels 0 to 9.
 *
 * @param archive - `cifar-10-python.tar.gz` or `cifar-10-binary.tar.gz`, under whatever name
 * @param options.labels - whether the bank gets the labels
 * @throws InputError when it is damaged or truncated, or lacks a batch
 */
export async function readCifar(archive: string, { labels = true }: { labels?: boolean } = {}): Promise<ImageBank> {
  const files = await readTarGz(archive, (path) => BATCH_FILE.test(path));
  const byNumber = new Map([...files].map(([path, bytes]) => [Number(BATCH_FILE.exec(path)?.[1]), { path, bytes }]));
  const batches = BATCHES.map((number) => {
    const file = byNumber.get(number);
    if (file) return parseBatch(file.path, file.bytes, archive);
    throw new InputError(
      `${archive} must hold the batches 1 to 5 of CIFAR-10 (data_batch_1 or data_batch_1.bin, ...), found ${files.size} without batch ${number}`,
    );
  });
  const pixels = Buffer.concat(batches.map((batch) => batch.pixels));
  const classes = Int32Array.from(batches.flatMap((batch) => Array.from(batch.labels)));
  return ImageBank.fromBytes("cifar10", shape, pixels, labels ? { labels: classes } : {});
}

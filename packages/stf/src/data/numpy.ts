/** NumPy's arrays as data sets: npz archives, npy files, and folders of these. */

import { basename } from "node:path";
import { NPY_HEADER_BYTES, type NpyArray, type NpyHeader, npyNumbers, parseNpy, readNpyHeader } from "../codecs/npy.js";
import { InputError } from "../common/errors.js";
import { type FileSource, piecesOf } from "./file-source.js";
import type { Classes, ImageBank } from "./image-bank.js";
import type { OnProgress } from "./images.js";
import { LARGEST_CLASS } from "./labels.js";
import { type ArrayFile, readArrayImages } from "./numpy-images.js";

const SUFFIX = /\.npy$/i;

/** Whether a file is named like an array. */
export const isNpyPath = (path: string): boolean => SUFFIX.test(path);

const nameOf = (path: string): string => basename(path).replace(SUFFIX, "");

/** The header of an array, without reading the rest. */
async function headerOf(source: FileSource, path: string): Promise<NpyHeader> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of piecesOf(source, path)) {
    pieces.push(piece);
    size += piece.length;
    if (size >= NPY_HEADER_BYTES) break;
  }
  return readNpyHeader(Buffer.concat(pieces).subarray(0, NPY_HEADER_BYTES), source.nameOf(path));
}

interface Arrays {
  readonly arrays: readonly ArrayFile[];
  /** Why others cannot be read: Python objects, damage. */
  readonly failures: readonly InputError[];
}

async function arraysOf(source: FileSource): Promise<Arrays> {
  const arrays: ArrayFile[] = [];
  const failures: InputError[] = [];
  for (const path of source.paths.filter(isNpyPath)) {
    try {
      arrays.push({ path, header: await headerOf(source, path) });
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      failures.push(error);
    }
  }
  return { arrays, failures };
}

const described = ({ path, header: { dtype, shape } }: ArrayFile): string =>
  `${nameOf(path)} (${dtype} [${shape.join(", ")}])`;

const isImages = ({ header: { shape } }: ArrayFile): boolean => shape.length === 3 || shape.length === 4;
const isTest = ({ path }: ArrayFile): boolean => /(^|_)(t10k|test|val|valid|validation)(_|$)/i.test(nameOf(path));

/** One array for each image: those of training if there are also some for tests. */
function chooseImages(arrays: readonly ArrayFile[], source: FileSource, onNote?: (line: string) => void): ArrayFile {
  const all = arrays.filter(isImages);
  const training = all.filter((array) => !isTest(array));
  const [chosen, ...others] = training.length > 0 ? training : all;
  if (!chosen) {
    throw new InputError(
      `${source.location} must hold images, an array [N, H, W, C], [N, C, H, W] or [N, H, W], found ${arrays.map(described).join(", ")}`,
    );
  }
  if (others.length > 0) {
    throw new InputError(
      `${source.location} must hold one array of images, found ${[chosen, ...others].map(described).join(", ")}; save one of them alone, with its labels`,
    );
  }
  const left = all.filter((array) => array !== chosen);
  if (left.length > 0) onNote?.(`using the images ${described(chosen)}, not ${left.map(described).join(", ")}`);
  return chosen;
}

const isWhole = ({ header: { dtype } }: ArrayFile): boolean => /^u?int/.test(dtype);

/** Whole numbers, one for each image, as `[N]` or `[N, 1]`. */
function isLabels({ header: { shape } }: ArrayFile, count: number): boolean {
  return shape[0] === count && (shape.length === 1 || (shape.length === 2 && shape[1] === 1));
}

/** The labels that belong to images: the only ones, else those with a usual name, and for the same part of the set. */
function chooseLabels(arrays: readonly ArrayFile[], images: ArrayFile, source: FileSource): ArrayFile | undefined {
  const [count = 0] = images.header.shape;
  const all = arrays.filter((array) => isWhole(array) && isLabels(array, count));
  const ofPart = all.filter((array) => isTest(array) === isTest(images));
  const named = ofPart.filter(({ path }) => /(^|_)(arr_1|y|labels?|targets?|class(es)?)(_|$)/i.test(nameOf(path)));
  for (const candidates of [all, ofPart, named]) if (candidates.length === 1) return candidates[0];
  if (all.length === 0) return undefined;
  throw new InputError(
    `${source.location} must have one array of labels, found ${all.map(described).join(", ")}; name one of them "labels", or train without labels`,
  );
}

function classesOf(array: NpyArray, name: string): Int32Array {
  const numbers = npyNumbers(array);
  const wrong = numbers.find((number) => number < 0 || number > LARGEST_CLASS);
  if (wrong !== undefined) throw new InputError(`labels must be whole numbers from 0 on, ${name} has ${wrong}`);
  return Int32Array.from(numbers);
}

async function readClasses(
  arrays: readonly ArrayFile[],
  images: ArrayFile,
  source: FileSource,
  onNote?: (line: string) => void,
): Promise<Classes> {
  const labels = chooseLabels(arrays, images, source);
  if (!labels) {
    const [count = 0] = images.header.shape;
    const others = arrays.filter((array) => !isImages(array) && isTest(array) === isTest(images));
    if (others.length > 0) {
      onNote?.(`no labels: ${others.map(described).join(", ")} must be ${count} whole numbers, one for each image`);
    }
    return { unlabelled: `${source.location} has no array of ${count} whole numbers` };
  }
  const name = source.nameOf(labels.path);
  return { labels: classesOf(parseNpy(await source.read(labels.path), name), name) };
}

/**
 * Images of NumPy's arrays: bytes `[N, H, W, C]`, `[N, C, H, W]` or `[N, H, W]`, and labels, whole numbers `[N]`. Alpha is
 * dropped. `stf generate --outdir=*.npz`, `numpy.savez` and `numpy.save` write such files.
 *
 * @param options.labels - whether the labels are read
 * @throws InputError when there is not one array of images, or it is damaged, truncated, or not of bytes
 */
export async function readNumpy(
  source: FileSource,
  options: { labels?: boolean; onProgress?: OnProgress; onNote?: (line: string) => void } = {},
): Promise<ImageBank> {
  const { arrays, failures } = await arraysOf(source);
  if (failures[0] && !arrays.some(isImages)) throw failures[0];
  for (const { message } of failures) options.onNote?.(`passed over: ${message}`);
  const images = chooseImages(arrays, source, options.onNote);
  const classes = options.labels === false ? {} : await readClasses(arrays, images, source, options.onNote);
  return await readArrayImages(source, images, classes, options.onProgress);
}

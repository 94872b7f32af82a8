/** Class labels of image files: from `dataset.json`, else from the names of the top-level folders. */

import { InputError } from "../common/errors.js";
import type { FileSource } from "./file-source.js";
import type { ImageBank } from "./image-bank.js";

/** The file at the root of a data set with `{"labels": [["path/of/image.png", 3], ...]}` or `{"labels": null}`. */
export const LABEL_FILE = "dataset.json";
const LARGEST_CLASS = 2 ** 31 - 1;

/**
 * The text of `dataset.json`.
 *
 * @param labels - paths below the data set's root, with forward slashes, and their classes; null where images have none
 */
export function formatLabels(labels: readonly (readonly [path: string, label: number])[] | null): string {
  return JSON.stringify({ labels });
}

/** Number of classes: the largest label and one, or 0 without labels. */
export function classCount({ labels }: ImageBank): number {
  return labels ? labels.reduce((largest, label) => Math.max(largest, label), -1) + 1 : 0;
}

function parseEntries(text: string, name: string): readonly unknown[] | undefined {
  const expected = `${name} must read {"labels": [["path", class], ...]} or {"labels": null}`;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new InputError(`${expected}; it is no JSON (${(cause as Error).message.split("\n", 1)[0]})`, { cause });
  }
  const labels = typeof content === "object" && content !== null && "labels" in content ? content.labels : undefined;
  if (labels === null) return undefined;
  if (!Array.isArray(labels)) throw new InputError(`${expected}; found no such "labels"`);
  return labels;
}

function isPair(entry: unknown): entry is [string, unknown] {
  return Array.isArray(entry) && entry.length === 2 && typeof entry[0] === "string";
}

function checkClass(label: unknown, path: string, name: string): number {
  if (Array.isArray(label)) {
    throw new InputError(
      `labels must be whole numbers, ${name} has a vector for "${path}"; such labels are not supported, train without labels`,
    );
  }
  if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label <= LARGEST_CLASS) return label;
  throw new InputError(
    `labels must be whole numbers from 0 on, ${name} has ${JSON.stringify(label)} for "${path}"; number the classes 0, 1, 2, ...`,
  );
}

async function labelsFromFile(source: FileSource, images: readonly string[]): Promise<Int32Array | undefined> {
  const name = source.nameOf(LABEL_FILE);
  const entries = parseEntries(new TextDecoder().decode(await source.read(LABEL_FILE)), name);
  if (!entries) return undefined;
  const classes = new Map<string, number>();
  for (const entry of entries) {
    if (!isPair(entry)) {
      throw new InputError(`labels must be pairs ["path", class], ${name} has ${JSON.stringify(entry).slice(0, 100)}`);
    }
    const [path, label] = entry;
    classes.set(path.replaceAll("\\", "/"), checkClass(label, path, name));
  }
  return Int32Array.from(images, (path) => {
    const label = classes.get(path);
    if (label !== undefined) return label;
    throw new InputError(
      `every image must have a label, ${name} has none for "${path}"; add it, remove the image, or train without labels`,
    );
  });
}

/** Undefined when there is only one name: that is a folder, no class. Images outside folders count as one more class. */
function labelsFromFolders(images: readonly string[]): Int32Array | undefined {
  const folderOf = (path: string): string => path.slice(0, Math.max(0, path.indexOf("/")));
  const names = [...new Set(images.map(folderOf))].sort();
  if (names.length < 2) return undefined;
  const classes = new Map(names.map((name, index) => [name, index]));
  return Int32Array.from(images, (path) => classes.get(folderOf(path)) as number);
}

/**
 * The class of each image. `dataset.json` decides where there is one, `{"labels": null}` included; else the top-level
 * folders do, sorted by name, if there is more than one.
 *
 * @throws InputError when `dataset.json` is damaged, misses an image, or has labels that are no class numbers
 */
export async function readLabels(source: FileSource, images: readonly string[]): Promise<Int32Array | undefined> {
  return source.paths.includes(LABEL_FILE) ? labelsFromFile(source, images) : labelsFromFolders(images);
}

/** Class labels of image files: from `dataset.json`, else from the names of the top-level folders. */

import { InputError } from "../common/errors.js";
import { abbreviated } from "../common/text.js";
import { type FileSource, topFolderOf } from "./file-source.js";
import type { Classes, ImageBank } from "./image-bank.js";

/**
 * The file at the root of a data set with `{"labels": [["path/of/image.png", 3], ...]}` or `{"labels": null}`. The names of the
 * classes may be there, too, as `"classNames": ["cat", ...]`; other readers look at `labels` only.
 */
export const LABEL_FILE = "dataset.json";
/** The largest class number: tables with a row for each class stay small, and no labelled set has as many. */
export const LARGEST_CLASS = 2 ** 20 - 1;

/**
 * The text of `dataset.json`.
 *
 * @param labels - paths below the data set's root, with forward slashes, and their classes; null where images have none
 * @param classNames - names of the classes, by number
 */
export function formatLabels(
  labels: readonly (readonly [path: string, label: number])[] | null,
  classNames?: readonly string[],
): string {
  return JSON.stringify({ labels, ...(labels && classNames && { classNames }) });
}

/** Number of classes: as many as have names or, if that is more, the largest label and one; 0 without labels. */
export function classCount({ labels, classNames = [] }: ImageBank): number {
  return labels ? Math.max(classNames.length, labels.reduce((largest, label) => Math.max(largest, label), -1) + 1) : 0;
}

interface LabelFile {
  /** Undefined for null. */
  readonly labels: readonly unknown[] | undefined;
  readonly classNames: unknown;
}

function parseLabelFile(text: string, name: string): LabelFile {
  const expected = `${name} must read {"labels": [["path", class], ...]} or {"labels": null}`;
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new InputError(`${expected}; it is not JSON (${(cause as Error).message.split("\n", 1)[0]})`, { cause });
  }
  const { labels, classNames } = Object(content) as { labels?: unknown; classNames?: unknown };
  if (labels === null) return { labels: undefined, classNames };
  if (!Array.isArray(labels)) throw new InputError(`${expected}; found no such "labels"`);
  return { labels, classNames };
}

/** @throws InputError when they are not one name for each class */
function checkNames(names: unknown, labels: Int32Array, file: string): readonly string[] | undefined {
  if (names === undefined || names === null) return undefined;
  const classes = 1 + labels.reduce((largest, label) => Math.max(largest, label), -1);
  const isList = Array.isArray(names) && names.every((name) => typeof name === "string" && name !== "");
  if (isList && names.length >= classes && new Set(names).size === names.length) return names;
  throw new InputError(
    `"classNames" in ${file} must be a list of different names, one for each of the ${classes} classes; correct or remove it`,
  );
}

/** The same classes with the numbers of a list of names, if all of them are in it. */
function renumbered(labels: Int32Array, classNames: readonly string[], numbering: Numbering = "natural"): Classes {
  if (typeof numbering === "string" || !classNames.every((name) => numbering.includes(name))) {
    return { labels, classNames };
  }
  const numbers = classNames.map((name) => numbering.indexOf(name));
  return { labels: labels.map((label) => numbers[label] as number), classNames: numbering };
}

function isPair(entry: unknown): entry is [string, unknown] {
  return Array.isArray(entry) && entry.length === 2 && typeof entry[0] === "string";
}

function checkClass(label: unknown, path: string, name: string): number {
  if (Array.isArray(label)) {
    throw new InputError(
      `labels must be whole numbers, ${name} has a vector for "${path}"; such labels are not supported; train without labels`,
    );
  }
  if (typeof label === "number" && Number.isInteger(label) && label >= 0 && label <= LARGEST_CLASS) return label;
  throw new InputError(
    `labels must be whole numbers from 0 on, at most ${LARGEST_CLASS}, ${name} has ${JSON.stringify(label)} for "${path}"; number the classes 0, 1, 2, ...`,
  );
}

/** Names come in different normal forms: an accented letter as one character or two. */
const normal = (name: string): string => name.normalize("NFC");

/** A set that lacks some of its images is still a set, though probably not the one that was meant. */
function noteMissing(
  labelled: Iterable<string>,
  images: readonly string[],
  source: FileSource,
  onNote?: (line: string) => void,
): void {
  const present = new Set(images.flatMap((path) => [normal(path), normal((source.top ?? "") + path)]));
  const missing = Array.from(labelled).filter((path) => !present.has(path));
  if (missing.length === 0) return;
  const named = missing.length === 1 ? "an image that is" : `${missing.length} images that are`;
  onNote?.(`${source.nameOf(LABEL_FILE)} has labels for ${named} not there: ${abbreviated(missing)}`);
}

async function labelsFromFile(
  source: FileSource,
  images: readonly string[],
  { numbering, onNote }: LabelOptions,
): Promise<Classes> {
  const name = source.nameOf(LABEL_FILE);
  const content = parseLabelFile(new TextDecoder().decode(await source.read(LABEL_FILE)), name);
  if (!content.labels) return { unlabelled: `${name} states that there are none` };
  const classes = new Map<string, number>();
  for (const entry of content.labels) {
    if (!isPair(entry)) {
      throw new InputError(`labels must be pairs ["path", class], ${name} has ${JSON.stringify(entry).slice(0, 100)}`);
    }
    const [path, label] = entry;
    const key = normal(path.replaceAll("\\", "/").replace(/^\.\//, ""));
    const own = checkClass(label, path, name);
    const earlier = classes.get(key);
    if (earlier !== undefined && earlier !== own) {
      throw new InputError(
        `every image must have one label, ${name} has ${earlier} and ${own} for "${path}"; correct it, or train without labels`,
      );
    }
    classes.set(key, own);
  }
  noteMissing(classes.keys(), images, source, onNote);
  const labels = Int32Array.from(images, (path) => {
    const label = classes.get(normal(path)) ?? classes.get(normal((source.top ?? "") + path));
    if (label !== undefined) return label;
    throw new InputError(
      `every image must have a label, ${name} has none for "${path}"; add it, remove the image, or train without labels`,
    );
  });
  const names = checkNames(content.classNames, labels, name);
  return names ? renumbered(labels, names, numbering) : { labels };
}

/** Compares whole numbers in names by value, everything else as text: "b" after "a", "10" after "9". */
function compareNaturally(a: string, b: string): number {
  const [left, right] = [a.split(/(\d+)/), b.split(/(\d+)/)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [one = "", other = ""] = [left[i], right[i]];
    // Every other part is a number.
    const order = i % 2 === 1 ? Number(BigInt(one) - BigInt(other)) : one < other ? -1 : Number(one > other);
    if (order !== 0) return order;
  }
  return left.length - right.length || (a < b ? -1 : Number(a > b));
}

/**
 * How class folders are numbered: "natural", with numbers in names ordered by value; "text", as in runs that did not store
 * the names; or as in a list of names, if it has all folders.
 */
export type Numbering = "natural" | "text" | readonly string[];

function numbered(names: readonly string[], numbering: Numbering): readonly string[] {
  if (numbering === "text") return [...names].sort();
  if (numbering !== "natural" && names.every((name) => numbering.includes(name))) return numbering;
  return [...names].sort(compareNaturally);
}

/** The class of images outside all folders. */
const NO_FOLDER = ".";

/** Folders that are parts of a data set, not classes. */
const PARTS = /^(train(ing)?|test(ing)?|val(id(ation)?)?|dev|eval(uation)?)([-_]?(set|data|images))?$/i;

/** The top-level folders of images, if all of them are parts of a data set and not classes. */
export function partsAmong(images: readonly string[]): readonly string[] {
  const folders = [...new Set(images.map(topFolderOf))].filter((name) => name !== "").sort();
  return folders.length > 1 && folders.every((name) => PARTS.test(name)) ? folders : [];
}

/** Folders that number images instead of classes: "00000", with a thousand images each. */
const NUMBERED = /^\d{4,}$/;

/** The top-level folders, if they look like classes: several, of several images each on average. */
export function classFoldersAmong(images: readonly string[]): readonly string[] {
  const folders = [...new Set(images.map(topFolderOf))].sort(compareNaturally);
  const isPlausible = folders.length > 1 && 2 * folders.length <= images.length && !folders.includes("");
  return isPlausible && !folders.every((name) => NUMBERED.test(name)) && partsAmong(images).length === 0 ? folders : [];
}

/** No classes when there is only one folder. Images outside folders count as one more class. */
function labelsFromFolders(source: FileSource, images: readonly string[], options: LabelOptions): Classes {
  const parts = partsAmong(images);
  if (parts.length > 0) {
    const part = parts.find((name) => /^train/i.test(name)) ?? parts[0];
    throw new InputError(
      `classes must be separate folders, and ${source.location} has ${parts.join(" and ")}, which are parts of a data set; give the path of one, such as ${source.nameOf(part as string)}`,
    );
  }
  const classOf = (path: string): string => normal(topFolderOf(path)) || NO_FOLDER;
  const names = [...new Set(images.map(classOf))];
  if (names.length < 2) {
    const folder =
      names[0] === NO_FOLDER ? "its images are not in folders" : `all images are in one folder, ${names[0]}`;
    const elsewhere = source.paths.find((path) => path.endsWith(`/${LABEL_FILE}`));
    const found = elsewhere === undefined ? "" : `; ${source.nameOf(elsewhere)} is not at the top level`;
    return { unlabelled: `${folder}, and there is no ${source.nameOf(LABEL_FILE)}${found}` };
  }
  const outside = images.filter((path) => topFolderOf(path) === "");
  if (outside.length > 0) {
    options.onNote?.(
      `${abbreviated(outside)} ${outside.length === 1 ? "is" : "are"} outside the class folders: counted as a class named "${NO_FOLDER}"; move or remove what is not meant`,
    );
  }
  const classNames = numbered(names, options.numbering ?? "natural");
  const classes = new Map(classNames.map((name, index) => [name, index]));
  return { labels: Int32Array.from(images, (path) => classes.get(classOf(path)) as number), classNames };
}

/** Options of {@link readLabels}. */
export interface LabelOptions {
  /** Numbering of class folders. Default: "natural". */
  readonly numbering?: Numbering | undefined;
  /** Called with notes, one line each. */
  readonly onNote?: ((line: string) => void) | undefined;
}

/**
 * The class of each image: from `dataset.json` if there is one, even if it is `{"labels": null}`; else from the top-level
 * folders, if there is more than one.
 *
 * @throws InputError when `dataset.json` is damaged, lacks an image, or has labels that are not class numbers; when the folders
 * are parts of a data set, such as `train` and `test`
 */
export async function readLabels(
  source: FileSource,
  images: readonly string[],
  options: LabelOptions = {},
): Promise<Classes> {
  return source.paths.includes(LABEL_FILE)
    ? labelsFromFile(source, images, options)
    : labelsFromFolders(source, images, options);
}

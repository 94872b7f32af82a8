/** The work of `stf dataset convert`: images of any kind to a data set in the published layout. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { Picture } from "../codecs/lanczos.js";
import type { DecodedPicture, PictureFile } from "../codecs/picture-file.js";
import { encodeStoredPng } from "../codecs/stored-png.js";
import { InputError } from "../common/errors.js";
import { isFileProblem, makeFolder, makeFolderFor, problemOf } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatDuration } from "../common/text.js";
import { type ConvertRequest, convertOptions, type ResolvedConvert } from "../config/dataset-request.js";
import { type ImageSequence, openImages } from "../data/image-sequence.js";
import { formatLabels, LABEL_FILE } from "../data/labels.js";
import { inOrder } from "../data/parallel.js";
import { suggestedSide } from "../data/suggested-conversion.js";
import { onBackground, type TransformOptions, transformImage } from "../data/transforms.js";
import { type DatasetWriter, isZipName, pathInDataset, writeDataset } from "../images/dataset-writer.js";
import { checkStop, type JobContext, jobContext } from "./context.js";

/** What was written. */
export interface ConvertResult {
  /** The data set. */
  readonly dest: string;
  /** Number of images in it. */
  readonly count: number;
  /** Shape of all of them. */
  readonly shape: ImageShape;
  /** Number of classes; 0 without labels. */
  readonly classCount: number;
  /** Names of the classes by number, if they have names. */
  readonly classNames: readonly string[] | undefined;
  /** Images that the crop or the transform rejected, by their names. */
  readonly rejected: readonly string[];
  /** With `skipUnreadable`: files that could not be read, by their names. */
  readonly unreadable: readonly string[];
  /** Bytes written. */
  readonly bytes: number;
  /** Seconds it took. */
  readonly seconds: number;
}

/** MNIST's images, which the published tool pads to a power of two. */
const IDX_SIDE = 28;
const IDX_PADDING = 2;

/** What became of one image. */
type Prepared =
  | { readonly kind: "image"; readonly png: Buffer; readonly picture: Picture; readonly notes: readonly string[] }
  | { readonly kind: "rejected" | "skipped" | "coloured" }
  | { readonly kind: "unreadable"; readonly error: InputError };

/** A coloured image among grey ones: everything is written again in colour. */
class Coloured extends Error {}

/** What deserves a note, by words, and the images concerned. */
function notesOn(file: PictureFile, { alpha, isOdd }: DecodedPicture, { background }: ResolvedConvert): string[] {
  return [
    ...(file.isTurned ? ["turned or mirrored by their EXIF orientation"] : []),
    ...(isOdd ? ["read although bytes that no pixel depends on are damaged or stray"] : []),
    ...(alpha && background === "stored"
      ? ["transparent in places: alpha was dropped and the colour under it kept; 'background=white' puts them on white"]
      : []),
    ...(file.depth > 8 ? ["of 16 bits, of which the upper 8 were kept"] : []),
  ];
}

const shapeOf = ({ width, height, channels }: Picture): ImageShape => ({ channels, height, width });

class Conversion {
  readonly #options: ResolvedConvert;
  readonly #context: JobContext;
  readonly #images: ImageSequence;
  readonly #count: number;
  readonly #transform: TransformOptions;
  readonly #rejected: number[] = [];
  readonly #unreadable = new Map<number, InputError>();
  readonly #notes = new Map<string, number[]>();
  readonly #labels: [string, number][] = [];
  #written = 0;
  #first: { readonly picture: Picture; readonly index: number } | undefined;

  constructor(options: ResolvedConvert, images: ImageSequence, channels: 1 | 3, context: JobContext) {
    this.#options = options;
    this.#context = context;
    this.#images = images;
    this.#count = Math.min(options.maxImages ?? images.count, images.count);
    const { crop, transform, resolution } = options;
    this.#transform = { pad: options.pad ?? 0, crop, transform, resolution, channels };
  }

  async #prepare(index: number): Promise<Prepared> {
    try {
      const file = await this.#images.open(index);
      // The channels were not asked for, and all images before this one are grey.
      if (this.#transform.channels === 1 && this.#options.channels === null && file.mode !== "grey") {
        return { kind: "coloured" };
      }
      const decoded = await file.decode();
      // What is not written any more need not be made; the names of all unreadable files are wanted.
      if (this.#unreadable.size > 0 && !this.#options.skipUnreadable) return { kind: "skipped" };
      const picture = transformImage(onBackground(decoded, this.#options.background), this.#transform);
      if (!picture) return { kind: "rejected" };
      return { kind: "image", png: encodeStoredPng(picture), picture, notes: notesOn(file, decoded, this.#options) };
    } catch (error) {
      if (error instanceof InputError) return { kind: "unreadable", error };
      throw error;
    }
  }

  /** @throws InputError when the image differs in size from the first */
  #checkSize(index: number, picture: Picture): void {
    this.#first ??= { picture, index };
    const { picture: first, index: firstIndex } = this.#first;
    if (first.width === picture.width && first.height === picture.height) return;
    const side = Math.min(first.width, first.height, picture.width, picture.height);
    const named = (at: number, { width, height }: Picture): string =>
      `${this.#images.pathOf(at)} has ${width}x${height}`;
    throw new InputError(
      `all images of a data set must have one size: ${named(firstIndex, first)}, ${named(index, picture)}; add 'resolution=${suggestedSide(side)}' and 'transform=center-crop'`,
    );
  }

  #add(index: number, prepared: Prepared, writer: DatasetWriter): void {
    if (prepared.kind === "coloured") throw new Coloured();
    if (prepared.kind === "rejected") this.#rejected.push(index);
    if (prepared.kind === "unreadable") this.#unreadable.set(index, prepared.error);
    if (prepared.kind !== "image") return;
    this.#checkSize(index, prepared.picture);
    const path = pathInDataset(index);
    writer.add(path, prepared.png);
    this.#written++;
    const { labels } = this.#images.classes;
    if (labels) this.#labels.push([path, labels[index] as number]);
    for (const note of prepared.notes) {
      const noted = this.#notes.get(note) ?? [];
      noted.push(index);
      this.#notes.set(note, noted);
    }
  }

  /** Why images are rejected, in words. */
  get #tooSmall(): string {
    const { crop, transform, resolution } = this.#options;
    if (transform !== "center-crop-wide" || resolution === null) return `smaller than 'crop=${crop}'`;
    return `narrower than ${resolution[0]} pixels, or too low for 'resolution=${resolution.join("x")}'`;
  }

  #names(indices: Iterable<number>): string[] {
    return Array.from(indices, (index) => this.#images.pathOf(index));
  }

  /** @throws InputError when files were unreadable, or nothing is left */
  #checkAll(): void {
    const errors = [...this.#unreadable.values()];
    const [first] = errors;
    if (first && !this.#options.skipUnreadable) {
      if (errors.length === 1) throw new InputError(`${first.message}, or leave it out with 'skipUnreadable'`);
      const names = this.#names(this.#unreadable.keys()).join(", ");
      throw new InputError(
        `${errors.length} of ${this.#count} images in ${this.#images.location} cannot be used: ${names}. ${first.message}, or leave them out with 'skipUnreadable'`,
      );
    }
    if (this.#written > 0) return;
    const reasons = [
      ...(this.#rejected.length > 0 ? [`${this.#rejected.length} are ${this.#tooSmall}`] : []),
      ...(errors.length > 0 ? [`${errors.length} could not be read`] : []),
    ];
    throw new InputError(
      `none of the ${this.#count} images of ${this.#images.location} can be used: ${reasons.join("; ")}`,
      {
        cause: first,
      },
    );
  }

  #report(): void {
    const { reporter } = this.#context;
    for (const [note, indices] of this.#notes) {
      reporter.print(`note: ${indices.length} of ${this.#count} images ${note}: ${abbreviated(this.#names(indices))}`);
    }
    if (this.#rejected.length > 0) {
      reporter.print(
        `note: ${this.#rejected.length} of ${this.#count} images are ${this.#tooSmall} and were left out; their numbers are not used: ${abbreviated(this.#names(this.#rejected))}`,
      );
    }
    if (this.#unreadable.size > 0) {
      reporter.print(
        `note: ${this.#unreadable.size} of ${this.#count} images could not be read and were left out: ${this.#names(this.#unreadable.keys()).join(", ")}`,
      );
    }
  }

  /** Writes all images and the labels. @throws Coloured when a coloured image comes after grey ones only */
  async run(writer: DatasetWriter): Promise<Omit<ConvertResult, "dest" | "seconds">> {
    const { reporter, now } = this.#context;
    const start = now();
    let shown = start;
    let index = 0;
    // One more than processors, so that reading goes on while all of them decode.
    for await (const prepared of inOrder(this.#count, availableParallelism() + 1, (i) => this.#prepare(i))) {
      checkStop(this.#context);
      this.#add(index++, prepared, writer);
      if (now() - shown < 0.25) continue;
      shown = now();
      const rate = index / (shown - start);
      const left = formatDuration((this.#count - index) / rate);
      reporter.update(`${index} of ${this.#count} images  ${rate.toPrecision(3)} images/s  ${left} left`);
      // Small files are read and decoded without waiting, so timers and signals get their turn here.
      await setImmediate();
    }
    reporter.clear();
    this.#checkAll();
    const { labels, classNames } = this.#images.classes;
    writer.add(LABEL_FILE, Buffer.from(formatLabels(labels ? this.#labels : null, classNames)));
    const bytes = writer.finish();
    this.#report();
    return {
      count: this.#written,
      shape: shapeOf(this.#first?.picture as Picture),
      classCount: this.#labels.reduce((most, [, label]) => Math.max(most, label + 1), 0),
      classNames: labels && classNames,
      rejected: this.#names(this.#rejected),
      unreadable: this.#names(this.#unreadable.keys()),
      bytes,
    };
  }
}

/** The channels to begin with: those asked for, else those of the first image that can be read. */
async function firstChannels({ channels }: ResolvedConvert, images: ImageSequence): Promise<1 | 3> {
  if (channels !== null) return channels as 1 | 3;
  for (let index = 0; index < images.count; index++) {
    const file = await images.open(index).catch((error: unknown) => {
      if (!(error instanceof InputError)) throw error;
    });
    if (file) return file.mode === "grey" ? 1 : 3;
  }
  return 3;
}

/** @throws InputError when nothing can be written there */
function checkDest(dest: string): void {
  if (isZipName(dest)) {
    makeFolderFor(dest, "dest");
    return;
  }
  makeFolder(dirname(dest), "dest");
  if (!existsSync(dest)) return;
  if (!statSync(dest).isDirectory()) {
    throw new InputError(`${dest} is a file; name a new or empty folder, or a name that ends in zip, with 'dest'`);
  }
  if (readdirSync(dest).length > 0) {
    throw new InputError(`${dest} is a folder that holds files; name a new or empty one with 'dest', or remove them`);
  }
}

/** Runs the conversion into a writer, which is discarded when it fails. */
async function converted(
  options: ResolvedConvert,
  images: ImageSequence,
  channels: 1 | 3,
  context: JobContext,
): Promise<Omit<ConvertResult, "dest" | "seconds">> {
  const { dest } = options;
  let writer: DatasetWriter | undefined;
  try {
    writer = writeDataset(dest);
    return await new Conversion(options, images, channels, context).run(writer);
  } catch (cause) {
    writer?.discard();
    if (!isFileProblem(cause)) throw cause;
    throw new InputError(`${dest} cannot be written: ${problemOf(cause)}; choose another place with 'dest'`, { cause });
  }
}

/**
 * Converts images into a data set in the published layout: PNGs without compression, named by their number in the source, a
 * thousand per folder, and `dataset.json` with the classes. It appears under its name only when complete; an interrupted
 * conversion leaves nothing.
 *
 * Images are grey if all of them are, else RGB. The EXIF orientation is applied, 16-bit values keep their upper 8 bits, and
 * colour profiles are ignored, as everywhere in this project.
 *
 * @throws UsageError for a request that is not possible; InputError for images that cannot be used, all of which are named, and
 * for a destination that cannot be written; Stopped when the job is to stop
 */
export async function convertDataset(
  request: ConvertRequest,
  context: JobContext = jobContext(),
): Promise<ConvertResult> {
  const given = convertOptions(request);
  const { reporter } = context;
  checkAlone("dataset convert", context.rank);
  checkDest(given.dest);
  const start = context.now();
  const { labels, split } = given;
  const onNote = (line: string): void => reporter.print(`note: ${line}`);
  reporter.update(`reading ${given.source}`);
  const images = await openImages(given.source, { labels, split: split ?? undefined, onNote });
  reporter.clear();
  try {
    const isPadded = given.pad === null && images.isIdx && (await images.open(0)).width === IDX_SIDE;
    if (isPadded) {
      onNote(
        `28x28 images get ${IDX_PADDING} black pixels on every side, as in the published tool; 'pad=0' keeps them`,
      );
    }
    const options = isPadded ? { ...given, pad: IDX_PADDING } : given;
    const channels = await firstChannels(options, images);
    const run = (own: 1 | 3): ReturnType<typeof converted> => converted(options, images, own, context);
    const result = await run(channels).catch((error: unknown) => {
      if (!(error instanceof Coloured)) throw error;
      onNote("grey images come before coloured ones: all become RGB; 'channels=1' would make all grey");
      return run(3);
    });
    return { dest: given.dest, ...result, seconds: context.now() - start };
  } finally {
    images.close();
  }
}

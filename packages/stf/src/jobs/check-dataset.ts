/** The work of `stf dataset check`: what is in a data set, before anything is trained. */

import { createHash } from "node:crypto";
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { writeFileAtomically } from "@stf/torch";
import type { DecodedPicture, PictureFile } from "../codecs/picture-file.js";
import { InputError } from "../common/errors.js";
import { makeFolderFor } from "../common/folders.js";
import { checkAlone } from "../common/ranks.js";
import { formatDuration } from "../common/text.js";
import { type CheckRequest, checkOptions } from "../config/dataset-request.js";
import { type ImageSequence, openImages } from "../data/image-sequence.js";
import { Thumbnails } from "../data/near-duplicates.js";
import { inOrder } from "../data/parallel.js";
import { ValueMoments, type ValueStatistics } from "../data/value-statistics.js";
import { checkStop, type JobContext, jobContext } from "./context.js";

/** A property of images, and how many have it. */
export interface Count {
  /** The property. */
  readonly name: string;
  /** The number of images. */
  readonly count: number;
}

/** A file that cannot be used. */
export interface UnreadableFile {
  /** Its path in the data set. */
  readonly name: string;
  /** Why, in one line. */
  readonly problem: string;
}

/** Two similar images. */
export interface NamedPair {
  /** Their paths in the data set. */
  readonly names: readonly [string, string];
  /** Correlation of their thumbnails, at most 1. */
  readonly correlation: number;
}

/** What was found. */
export interface CheckResult {
  /** The data set. */
  readonly data: string;
  /** Number of images, unreadable ones included. */
  readonly count: number;
  /** Files that cannot be used. */
  readonly unreadable: readonly UnreadableFile[];
  /** Sizes in pixels, such as "64x64", the most frequent first. */
  readonly sizes: readonly Count[];
  /** The least of all widths and heights. */
  readonly leastSide: number;
  /** How images are stored, such as "png rgb" or "png grey 16 bits", the most frequent first. */
  readonly modes: readonly Count[];
  /** Images with pixels that are not opaque. */
  readonly transparent: number;
  /** Images that their EXIF orientation turns or mirrors. */
  readonly turned: number;
  /** Images with damaged or stray bytes that no pixel depends on. */
  readonly odd: number;
  /** Images of each class, by number; without labels null. */
  readonly classes: readonly Count[] | null;
  /** Without labels, where they were searched, as part of a sentence. */
  readonly unlabelled: string | undefined;
  /** Groups of images with the same size and pixels. */
  readonly duplicates: readonly (readonly string[])[];
  /** Pairs of similar images that are not such duplicates; null if they were not searched. */
  readonly nearDuplicates: readonly NamedPair[] | null;
  /** Moments of the pixel values; null without readable images. */
  readonly values: ValueStatistics | null;
  /** Channels that training would use: 1 if all images are grey. */
  readonly channels: 1 | 3;
  /** Bytes that the images take in memory during training; null while they differ in size. */
  readonly bankBytes: number | null;
}

/** With more images, comparing all pairs takes too long. */
const MOST_COMPARED = 250_000;

/** What is known of one image. */
type Seen =
  | { readonly file: PictureFile; readonly decoded: DecodedPicture; readonly digest: string }
  | { readonly error: InputError };

async function look(images: ImageSequence, index: number): Promise<Seen> {
  try {
    const file = await images.open(index);
    const decoded = await file.decode();
    const { width, height, channels, pixels } = decoded.picture;
    const hash = createHash("sha256").update(`${width}x${height}x${channels} `).update(pixels);
    return { file, decoded, digest: hash.digest("base64") };
  } catch (error) {
    if (error instanceof InputError) return { error };
    throw error;
  }
}

function modeOf({ format, mode, hasAlpha, depth }: PictureFile): string {
  const bits = depth > 8 ? ` ${depth} bits` : "";
  return `${format} ${mode}${hasAlpha ? " with alpha" : ""}${bits}`;
}

/** Counts by name. */
class Tally {
  readonly #counts = new Map<string, number>();

  add(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1);
  }

  /** The most frequent first. */
  get sorted(): Count[] {
    return Array.from(this.#counts, ([name, count]) => ({ name, count })).sort((a, b) => b.count - a.count);
  }
}

class Check {
  readonly #images: ImageSequence;
  readonly #context: JobContext;
  readonly #sizes = new Tally();
  readonly #modes = new Tally();
  readonly #unreadable: UnreadableFile[] = [];
  readonly #byDigest = new Map<string, number[]>();
  readonly #moments = new ValueMoments();
  readonly #thumbnails: Thumbnails | undefined;
  #leastSide = Number.POSITIVE_INFINITY;
  #transparent = 0;
  #turned = 0;
  #odd = 0;
  #isColoured = false;

  constructor(images: ImageSequence, wantsNear: boolean, context: JobContext) {
    this.#images = images;
    this.#context = context;
    if (wantsNear && images.count <= MOST_COMPARED) this.#thumbnails = new Thumbnails(images.count);
  }

  #add(index: number, seen: Seen): void {
    if ("error" in seen) {
      this.#unreadable.push({ name: this.#images.pathOf(index), problem: seen.error.message });
      return;
    }
    const { file, decoded, digest } = seen;
    const { width, height } = file;
    this.#sizes.add(`${width}x${height}`);
    this.#modes.add(modeOf(file));
    this.#leastSide = Math.min(this.#leastSide, width, height);
    this.#transparent += Number(decoded.alpha !== undefined);
    this.#turned += Number(file.isTurned);
    this.#odd += Number(decoded.isOdd);
    this.#isColoured ||= file.mode !== "grey";
    this.#moments.add(decoded.picture);
    const same = this.#byDigest.get(digest);
    // A group of equal images is represented by its first one.
    if (!same) this.#thumbnails?.add(index, decoded.picture);
    if (same) same.push(index);
    else this.#byDigest.set(digest, [index]);
  }

  async #lookAtAll(): Promise<void> {
    const { reporter, now } = this.#context;
    const start = now();
    let shown = start;
    let index = 0;
    const { count } = this.#images;
    for await (const seen of inOrder(count, availableParallelism() + 1, (i) => look(this.#images, i))) {
      checkStop(this.#context);
      this.#add(index++, seen);
      if (now() - shown < 0.25) continue;
      shown = now();
      const rate = index / (shown - start);
      reporter.update(
        `${index} of ${count} images  ${rate.toPrecision(3)} images/s  ${formatDuration((count - index) / rate)} left`,
      );
      await setImmediate();
    }
  }

  #nearDuplicates(): CheckResult["nearDuplicates"] {
    const pairs = this.#thumbnails?.pairs((done, total) => {
      checkStop(this.#context);
      this.#context.reporter.update(`comparing ${done} of ${total} images`);
    });
    if (!pairs) return null;
    const nameOf = (index: number): string => this.#images.pathOf(index);
    return pairs.map(({ first, second, correlation }) => ({ names: [nameOf(first), nameOf(second)], correlation }));
  }

  #classes(): readonly Count[] | null {
    const { labels, classNames } = this.#images.classes;
    if (!labels) return null;
    const counts: number[] = Array.from(
      { length: 1 + labels.reduce((most, label) => Math.max(most, label), -1) },
      () => 0,
    );
    for (const label of labels) counts[label] = (counts[label] as number) + 1;
    return counts.map((count, label) => ({ name: classNames?.[label] ?? String(label), count }));
  }

  async run(data: string): Promise<CheckResult> {
    await this.#lookAtAll();
    const nearDuplicates = this.#nearDuplicates();
    this.#context.reporter.clear();
    const sizes = this.#sizes.sorted;
    const channels = this.#isColoured ? 3 : 1;
    const { count, classes } = this.#images;
    const [only, ...others] = sizes;
    const [width = 0, height = 0] = (only?.name ?? "").split("x").map(Number);
    const groups = [...this.#byDigest.values()].filter((group) => group.length > 1);
    return {
      data,
      count,
      unreadable: this.#unreadable,
      sizes,
      leastSide: Number.isFinite(this.#leastSide) ? this.#leastSide : 0,
      modes: this.#modes.sorted,
      transparent: this.#transparent,
      turned: this.#turned,
      odd: this.#odd,
      classes: this.#classes(),
      unlabelled: classes.unlabelled,
      duplicates: groups.map((group) => group.map((index) => this.#images.pathOf(index))),
      nearDuplicates,
      values: this.#moments.statistics ?? null,
      channels,
      bankBytes: only && others.length === 0 ? (count - this.#unreadable.length) * width * height * channels : null,
    };
  }

  dispose(): void {
    this.#thumbnails?.dispose();
  }
}

/**
 * Reports what a data set holds: sizes, modes, classes, unreadable files, duplicates, and the moments of its values. It reads
 * anything that `convertDataset` reads, and requires nothing of it. With `json`, the result is also written to a file.
 *
 * Duplicates have the same size and pixels. Near duplicates have thumbnails (mean colours of 16x16 cells) with a correlation of
 * at least 0.995: they differ in compression, size, brightness or contrast, or little else. Plain surfaces are not compared.
 *
 * @throws UsageError for a request that is not possible; InputError when there is no data set; Stopped when the job is to stop
 */
export async function checkDataset(request: CheckRequest, context: JobContext = jobContext()): Promise<CheckResult> {
  const { data, json, split, near } = checkOptions(request);
  checkAlone("dataset check", context.rank);
  if (json !== null) makeFolderFor(json, "json");
  const { reporter } = context;
  reporter.update(`reading ${data}`);
  const images = await openImages(data, {
    split: split ?? undefined,
    onNote: (line) => reporter.print(`note: ${line}`),
  });
  const check = new Check(images, near, context);
  try {
    const result = await check.run(data);
    if (json !== null) {
      writeFileAtomically(json, new TextEncoder().encode(`${JSON.stringify(result, undefined, 2)}\n`));
    }
    return result;
  } finally {
    check.dispose();
    images.close();
  }
}

/** The images that a training is told not to train on: a share of its own, or those of another path. */

import { statSync } from "node:fs";
import { InputError, UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import type { Split } from "../data/file-source.js";
import { divideImages, imagesNotIn, selectImages } from "../data/held-out.js";
import { isIdxPath } from "../data/idx.js";
import type { ImageBank } from "../data/image-bank.js";
import { classCount } from "../data/labels.js";
import { openDataset } from "../data/open.js";
import type { JobContext } from "./context.js";

/** The images of a training. The caller owns both banks. */
export interface TrainingImages {
  /** Those that it trains on. */
  readonly images: ImageBank;
  /** Those that it is measured on besides; undefined without any. */
  readonly heldOut: ImageBank | undefined;
}

/** @throws UsageError when the parts cannot be used */
function shareOf(bank: ImageBank, share: number, cond: boolean): TrainingImages {
  const { training, heldOut } = divideImages(bank, share);
  if (heldOut.length === 0 || training.length === 0) {
    const missing = heldOut.length === 0 ? "hold out an image at least" : "leave images to train on";
    throw new UsageError(
      `'heldOut' must ${missing}, found a share of ${share} of ${bank.count} ${bank.count === 1 ? "image" : "images"}`,
    );
  }
  const { labels } = bank;
  const kept = labels && new Set(training.map((i) => labels[i] as number));
  const lost = cond ? labels?.find((label) => !kept?.has(label)) : undefined;
  if (lost !== undefined) {
    throw new UsageError(
      `'heldOut' must leave every class an image to train on; with a share of ${share}, class ${bank.classNames?.[lost] ?? lost} has none; use a smaller share, or a path to other images`,
    );
  }
  return { images: selectImages(bank, training), heldOut: selectImages(bank, heldOut) };
}

/** @throws UsageError for images of another shape, and, with classes, without labels or of classes that the training does not have */
function checkAlike(found: ImageBank, bank: ImageBank, path: string, cond: boolean): void {
  const [shape, wanted] = [formatImageShape(found.shape), formatImageShape(bank.shape)];
  if (shape !== wanted) throw new UsageError(`'heldOut' must hold images of ${wanted} like 'data', found ${shape}`);
  if (!cond) return;
  if (!found.labels) {
    throw new UsageError(`'heldOut' must hold images with class labels, as 'cond' requires, and ${path} has none`);
  }
  const classes = classCount(bank);
  const stranger = found.labels.find((label) => label >= classes);
  const name = bank.classNames && found.classNames?.find((own) => !bank.classNames?.includes(own));
  if (stranger === undefined && name === undefined) return;
  throw new UsageError(
    `'heldOut' must hold images of the ${classes} classes of 'data' only; ${path} has class ${name ?? stranger}`,
  );
}

/** Of a data set with two parts the images for tests are meant; a single idx file is what its name says. */
const splitOf = (path: string): Split | undefined =>
  isIdxPath(path) && statSync(path, { throwIfNoEntry: false })?.isFile() ? undefined : "test";

/** Those images of a path that the training does not have. */
async function otherImages(
  bank: ImageBank,
  path: string,
  cond: boolean,
  notes: string[],
  { reporter }: JobContext,
): Promise<ImageBank> {
  const found = await openDataset(path, {
    labels: cond,
    ...(bank.classNames && { numbering: bank.classNames }),
    split: splitOf(path),
    onNote: (line) => void notes.push(`held-out images: ${line}`),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  }).catch((cause: unknown) => {
    if (!(cause instanceof InputError)) throw cause;
    throw new InputError(`the held-out images cannot be read: ${cause.message}; 'heldOut' names their path`, { cause });
  });
  reporter.clear();
  try {
    checkAlike(found, bank, path, cond);
    const unknown = imagesNotIn(found, bank);
    if (unknown.length === found.count) return found;
    const [twins, all] = [found.count - unknown.length, found.count];
    if (unknown.length === 0) {
      throw new UsageError(
        `'heldOut' must hold images that 'data' does not have; all ${all} of ${path} are training images`,
      );
    }
    notes.push(`${twins} of the ${all} held-out images are training images, too, or mirrored, and are left out`);
    const rest = selectImages(found, unknown);
    found.dispose();
    return rest;
  } catch (error) {
    found.dispose();
    throw error;
  }
}

/**
 * Divides the images of a training as its options say.
 *
 * @param bank - all images of 'data'; disposed of, unless they are returned
 * @throws UsageError for parts that cannot be used; InputError for a path that cannot be read
 */
export async function withHeldOut(
  bank: ImageBank,
  { heldOut, cond }: Pick<ResolvedOptions, "heldOut" | "cond">,
  notes: string[],
  context: JobContext,
): Promise<TrainingImages> {
  if (heldOut === null) return { images: bank, heldOut: undefined };
  try {
    if (typeof heldOut === "string") {
      return { images: bank, heldOut: await otherImages(bank, heldOut, cond, notes, context) };
    }
    const parts = shareOf(bank, heldOut, cond);
    bank.dispose();
    return parts;
  } catch (error) {
    bank.dispose();
    throw error;
  }
}

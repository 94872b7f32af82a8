/** What an analysis is about: images with their exact posterior, or a mixture in closed form. */

import { readFileSync } from "node:fs";
import { EmpiricalTruth } from "../../analysis/empirical-truth.js";
import { KnownTruth } from "../../analysis/mixture-truth.js";
import { InputError, UsageError } from "../../common/errors.js";
import { didYouMean } from "../../common/similar.js";
import { mixtureNames } from "../../config/analyze-options.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import type { KnownDistribution } from "../../data/distribution.js";
import { type ImageBank, replaced } from "../../data/image-bank.js";
import type { Numbering } from "../../data/labels.js";
import { withMirrorImages } from "../../data/mirror.js";
import { mixtureOf } from "../../data/mixture.js";
import { openDataset } from "../../data/open.js";
import { ringOfGaussians, twoGaussians } from "../../data/toy.js";
import type { ReferenceCount } from "../../run/variance-report.js";
import { classMembers } from "../../targets/references.js";
import { cacheFolder } from "../cache-folder.js";
import type { JobContext } from "../context.js";
import { type TrainingImages, withHeldOut } from "../held-out.js";

const named = {
  "two-gaussians": twoGaussians,
  "ring-of-gaussians": ringOfGaussians,
} as const satisfies Record<(typeof mixtureNames)[number], unknown>;

/** The mixture of a name, or of a JSON file. @throws InputError for a file that cannot be used */
export function openMixture({
  mixture,
  dimension,
  deviation,
}: {
  readonly mixture: string;
  readonly dimension: number;
  readonly deviation: number | null;
}): KnownDistribution {
  const names = mixtureNames;
  const make = Object.hasOwn(named, mixture) ? named[mixture as keyof typeof named] : undefined;
  if (make) return make({ dimension, ...(deviation !== null && { deviation }) });
  let text: string;
  try {
    text = readFileSync(mixture, "utf8");
  } catch (cause) {
    const reason = (cause as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : (cause as Error).message;
    throw new InputError(
      `'mixture' must be one of ${names.join(", ")}, or a JSON file, found ${mixture}: ${reason}${didYouMean(mixture, names)}`,
      { cause },
    );
  }
  try {
    return mixtureOf(JSON.parse(text), mixture);
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause;
    throw new InputError(`${mixture} must be JSON with the components of a mixture: ${cause.message}`, { cause });
  }
}

/** Values of the references of a mixture: 256 MiB of float64. */
const MOST_VALUES = 2 ** 25;

/** The truth of a request. */
export type OpenedTruth =
  | {
      readonly kind: "images";
      readonly truth: EmpiricalTruth;
      readonly bank: ImageBank;
      /** Images that the networks were not trained on. */
      readonly unseen: ImageBank | undefined;
    }
  | { readonly kind: "mixture"; readonly truth: KnownTruth; readonly distribution: KnownDistribution };

/** Reads the images of a request, divided as a training would divide them, on its device. */
async function openImages(
  path: string,
  options: ResolvedAnalyze,
  context: JobContext,
  numbering?: Numbering,
): Promise<TrainingImages> {
  const { cond, xflip, cache, device } = options;
  const { reporter } = context;
  const notes: string[] = [];
  const whole = await openDataset(path, {
    labels: cond,
    ...(numbering && { numbering }),
    ...(cache && { cache: cacheFolder() }),
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  if (cond && !whole.labels) {
    whole.dispose();
    throw new UsageError(`'cond' needs class labels, and ${whole.name} has none; leave 'cond' out`);
  }
  const { images, heldOut } = await withHeldOut(whole, options, notes, context);
  for (const note of notes) reporter.print(`note: ${note}`);
  const moved = (bank: ImageBank): ImageBank => (device === "cpu" ? bank : replaced(bank, (each) => each.to(device)));
  return {
    images: moved(xflip ? replaced(images, withMirrorImages) : images),
    heldOut: heldOut && moved(heldOut),
  };
}

/** Reads the images or the mixture of a request. */
export async function openTruth(
  options: ResolvedAnalyze,
  context: JobContext,
  numbering?: Numbering,
): Promise<OpenedTruth> {
  const { data, mixture, seed, cond } = options;
  if (mixture !== null) {
    const distribution = openMixture({ ...options, mixture });
    return { kind: "mixture", truth: new KnownTruth(distribution, seed), distribution };
  }
  const { images, heldOut } = await openImages(data as string, options, context, numbering);
  return {
    kind: "images",
    bank: images,
    unseen: heldOut,
    truth: new EmpiricalTruth(images, { seed, sameClass: cond }),
  };
}

/** Numbers of images that can be the source of a noisy image: all, or those of each class. */
export function supportSizes({ count, labels }: ImageBank, cond: boolean): number[] {
  return cond && labels ? Array.from(classMembers(labels).values(), ({ length }) => length) : [count];
}

/**
 * The numbers of references that make sense: one of at least as many images as can be the source is the same as "all". Mixtures have no
 * such number, but their points must fit in memory.
 *
 * @throws UsageError for more points than that
 */
export function possibleReferences(opened: OpenedTruth, { references, cond }: ResolvedAnalyze): ReferenceCount[] {
  if (opened.kind === "images") {
    const most = Math.max(...supportSizes(opened.bank, cond));
    return [...new Set(references.map((count) => (count !== 1 && count !== "all" && count >= most ? "all" : count)))];
  }
  const { dimension } = opened.truth;
  const most = Math.max(...references.map(Number));
  if (most * dimension > MOST_VALUES) {
    throw new UsageError(
      `'references' must be at most ${Math.floor(MOST_VALUES / dimension)} of a mixture in ${dimension} dimensions, so that they fit in memory, found ${most}`,
    );
  }
  return [...references];
}

/** Frees the images. */
export function disposeTruth(opened: OpenedTruth): void {
  if (opened.kind !== "images") return;
  opened.bank.dispose();
  opened.unseen?.dispose();
}

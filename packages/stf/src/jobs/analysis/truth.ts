/** What an analysis is about: images with their exact posterior, or a mixture in closed form. */

import { readFileSync } from "node:fs";
import { EmpiricalTruth } from "../../analysis/empirical-truth.js";
import { KnownTruth } from "../../analysis/mixture-truth.js";
import { InputError, UsageError } from "../../common/errors.js";
import { didYouMean } from "../../common/similar.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import type { KnownDistribution } from "../../data/distribution.js";
import type { ImageBank } from "../../data/image-bank.js";
import type { Numbering } from "../../data/labels.js";
import { withMirrorImages } from "../../data/mirror.js";
import { mixtureOf } from "../../data/mixture.js";
import { openDataset } from "../../data/open.js";
import { ringOfGaussians, twoGaussians } from "../../data/toy.js";
import { cacheFolder } from "../cache-folder.js";
import type { JobContext } from "../context.js";

const named = { "two-gaussians": twoGaussians, "ring-of-gaussians": ringOfGaussians } as const;

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
  const names = Object.keys(named);
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

/** Images for an analysis, on its device. */
export async function openImages(
  path: string,
  { cond, xflip, cache, device }: Pick<ResolvedAnalyze, "cond" | "xflip" | "cache" | "device">,
  { reporter }: JobContext,
  numbering?: Numbering,
): Promise<ImageBank> {
  const notes: string[] = [];
  const images = await openDataset(path, {
    labels: cond,
    ...(numbering && { numbering }),
    ...(cache && { cache: cacheFolder() }),
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  for (const note of notes) reporter.print(`note: ${note}`);
  if (cond && !images.labels) {
    throw new UsageError(`'cond' needs class labels, and ${images.name} has none; leave 'cond' out`);
  }
  const flipped = xflip ? withMirrorImages(images) : images;
  if (flipped !== images) images.dispose();
  if (device === "cpu") return flipped;
  const moved = flipped.to(device);
  flipped.dispose();
  return moved;
}

/** The truth of a request. */
export type OpenedTruth =
  | { readonly kind: "images"; readonly bank: ImageBank; readonly truth: EmpiricalTruth }
  | { readonly kind: "mixture"; readonly truth: KnownTruth; readonly distribution: KnownDistribution };

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
  const bank = await openImages(data as string, options, context, numbering);
  return { kind: "images", bank, truth: new EmpiricalTruth(bank, { seed, sameClass: cond }) };
}

/** What is evaluated: images from a file or folder, or drawn from a network. */

import { statSync } from "node:fs";
import { noGrad, scope, type Tensor, zeros } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import { partOf } from "../common/ranks.js";
import { formatIntegers } from "../common/text.js";
import { samplerOf } from "../config/generate-options.js";
import type { ResolvedGenerate } from "../config/generate-request.js";
import { openFolder } from "../data/folder.js";
import type { ImageBank } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import { openDataset } from "../data/open.js";
import { openZip } from "../data/zip.js";
import type { Denoiser } from "../networks/denoiser.js";
import { oneHot } from "../networks/network.js";
import { chosenSubset } from "../random/random-state.js";
import { GENERATE_OPTIONS_FILE } from "../run/files.js";
import type { Facts, Protocol } from "../run/protocol.js";
import { denoiseWith, type Method } from "../sampling/generate.js";
import { analyticWeight } from "../sampling/hand-over.js";
import { type Denoise, forEachImage } from "../sampling/sampler.js";
import type { JobContext } from "./context.js";
import { DrawingTally, drawBatches } from "./draw-batches.js";
import { type Drawing, openDrawing } from "./drawing.js";
import { drawingProtocol, readDrawingProtocol } from "./drawing-protocol.js";
import { secondsOf } from "./trial.js";

/** A set of images in a fixed order. */
export interface ImageSource {
  /** What it is called in messages. */
  readonly title: string;
  readonly count: number;
  readonly shape: ImageShape;
  /** What it is, and how it was obtained. */
  readonly protocol: Protocol;
  /** Network evaluations for an image; 0 for images that exist. NaN if the sampler decides. */
  readonly evaluations: number;
  /** Seconds per image of one network evaluation, measured; 0 for images that exist. */
  secondsPerEvaluation(images: number, now: () => number): number;
  /**
   * The images of this process, batch by batch, uint8 `[B, C, H, W]`; a batch is freed when the next one is requested.
   *
   * @throws Stopped when the job is to stop
   */
  batches(size: number): Generator<Tensor, void, void>;
  /** Frees networks and images. */
  dispose(): void;
  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void;
}

/** How the images in a folder or zip were drawn, if `stf generate` drew them, with their seeds if all have one. */
async function drawnBy(
  path: string,
  count: number,
): Promise<{ readonly protocol: Protocol; readonly seeds?: string } | undefined> {
  const isFolder = statSync(path).isDirectory();
  if (!isFolder && !/\.zip$/i.test(path)) return undefined;
  const files = isFolder ? openFolder(path) : await openZip(path);
  try {
    if (!files.paths.includes(GENERATE_OPTIONS_FILE)) return undefined;
    const protocol = readDrawingProtocol(JSON.parse(new TextDecoder().decode(await files.read(GENERATE_OPTIONS_FILE))));
    const seeds = files.paths.flatMap((file) => /(\d+)\.png$/.exec(file)?.[1] ?? []).map(Number);
    seeds.sort((a, b) => a - b);
    return protocol && { protocol, ...(seeds.length === count && { seeds: formatIntegers(seeds) }) };
  } catch {
    return undefined;
  } finally {
    files.close();
  }
}

/** Reads a data set without its labels, with a line of progress. */
export async function readImages(path: string, { reporter }: JobContext): Promise<ImageBank> {
  const notes: string[] = [];
  const bank = await openDataset(path, {
    labels: false,
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${path}: ${done} of ${total} images`),
  });
  reporter.clear();
  for (const note of notes) reporter.print(`note: ${note}`);
  return bank;
}

/** Rows of a bank as images, batch by batch. */
function* batchesOf(bank: ImageBank, indices: Int32Array, size: number, context: JobContext): Generator<Tensor> {
  const { channels, height, width } = bank.shape;
  const { first, end } = partOf(indices.length, context.rank);
  for (let start = first; start < end; start += size) {
    const batch = scope(() => {
      const own = indices.subarray(start, Math.min(start + size, end));
      return bank.gather(own).view([own.length, channels, height, width]);
    });
    try {
      yield batch;
    } finally {
      batch.dispose();
    }
  }
}

/** The images of a bank, or those that a seed chooses. */
export function bankSource(
  bank: ImageBank,
  title: string,
  { num, seed, context }: { readonly num: number | null; readonly seed: number; readonly context: JobContext },
): ImageSource {
  const indices = chosenSubset(bank.count, num ?? bank.count, seed);
  const isAll = indices.length === bank.count;
  return {
    title,
    count: indices.length,
    shape: bank.shape,
    protocol: {
      subject: { images: title, images_sha256: digestOfImages(bank) },
      method: { images: { count: indices.length, ...(!isAll && { seed }) } },
    },
    evaluations: 0,
    secondsPerEvaluation: () => 0,
    batches: (size) => batchesOf(bank, indices, size, context),
    dispose: () => bank.dispose(),
    [Symbol.dispose]: () => bank.dispose(),
  };
}

/**
 * Images of a file or folder: all, or those that a seed chooses as the published tools do.
 *
 * @throws InputError when they cannot be read, or are fewer than `atLeast`
 */
export async function imagesOnDisk(
  path: string,
  options: {
    readonly num: number | null;
    readonly seed: number;
    readonly atLeast?: number;
    readonly context: JobContext;
  },
): Promise<ImageSource> {
  const bank = await readImages(path, options.context);
  const { atLeast = 2 } = options;
  if (bank.count < atLeast) {
    bank.dispose();
    throw new InputError(
      `${path} must hold at least ${atLeast} images, found ${bank.count}; ${atLeast === 2 ? "take a larger set" : "draw more, or lower 'num'"}`,
    );
  }
  const source = bankSource(bank, path, options);
  const drawn = await drawnBy(path, bank.count);
  if (!drawn) return source;
  const { subject, method } = source.protocol;
  // Folders for every thousand images change no image.
  const { subdirs, ...facts } = drawn.protocol.method["drawing"] as Facts;
  const { drawing, analytic } = divided(facts);
  return {
    ...source,
    protocol: {
      subject: { ...drawn.protocol.subject, ...analytic, ...subject },
      method: {
        images: { ...method["images"], ...(drawn.seeds !== undefined && { seeds: drawn.seeds }) },
        drawing,
      },
    },
  };
}

/**
 * How images are drawn, and what replaces their network at high noise: that belongs to what is evaluated, so that images with and
 * without it compare.
 */
function divided({ analyticAbove, analyticData, ...drawing }: Facts): { drawing: Facts; analytic: Facts } {
  return {
    drawing,
    analytic: {
      ...(analyticAbove !== undefined && { analyticAbove }),
      ...(analyticData !== undefined && { analyticData }),
    },
  };
}

/** Evaluations for an image. */
export interface Evaluations {
  readonly network: number;
  /** Those of the analytic part. */
  readonly analytic: number;
}

/** The noise levels at which a method with fixed steps evaluates a denoiser: it draws an image of one value. */
export function evaluatedLevels(method: Method): number[] {
  const levels: number[] = [];
  scope(() => {
    const black: Denoise = (x, sigma) => {
      levels.push(forEachImage(sigma, 1)[0] as number);
      return x.mul(0);
    };
    method.sample(black, zeros([1, 1, 1, 1], { dtype: "float64" }), { noise: (like) => like.clone() });
  });
  return levels;
}

/** Evaluations of a drawing for an image; NaN if its sampler chooses its steps. */
export function evaluationsOf({ request, analytic, conditions: { method } }: Drawing): Evaluations {
  if (samplerOf(request) === "rk45") return { network: Number.NaN, analytic: analytic ? Number.NaN : 0 };
  const levels = evaluatedLevels(method);
  const known = analytic ? levels.filter((sigma) => analyticWeight(sigma, analytic.part) === 1).length : 0;
  const factor = request.guidance === 1 ? 1 : 2;
  return { network: factor * (levels.length - known), analytic: factor * known };
}

/** Seconds per image of a network evaluation. */
export function evaluationSeconds(denoiser: Denoiser, images: number, now: () => number): number {
  const { shape, device, labelDim } = denoiser;
  return scope(() => {
    const x = zeros([images, shape.channels, shape.height, shape.width], { dtype: "float64", device });
    const labels = labelDim > 0 ? oneHot(new Array(images).fill(0), labelDim, { dtype: "float32", device }) : undefined;
    const denoise = denoiseWith(denoiser, { labels });
    // Reading a value waits for a GPU.
    const run = (): void => scope(() => void noGrad(() => denoise(x, 1).sum().item()));
    return secondsOf(run, now) / images;
  });
}

/**
 * Images drawn from a network, one for each seed of the request.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used
 */
export async function drawnImages(given: ResolvedGenerate, context: JobContext): Promise<ImageSource> {
  const drawing = await openDrawing(given, context.rank);
  const { request, snapshot } = drawing;
  const { seeds } = request;
  for (const note of drawing.notes) context.reporter.print(`note: ${note}`);
  const { subject, method } = await drawingProtocol(request, context.rank.size);
  const { network: evaluations, analytic: analyticEvaluations } = evaluationsOf(drawing);
  const { analytic } = drawing;
  const trained = snapshot.about["images"];
  const { drawing: facts, analytic: asked } = divided(method["drawing"] as Facts);
  return {
    title: request.network,
    count: seeds.length,
    shape: snapshot.config.shape,
    protocol: {
      subject: {
        ...subject,
        ...asked,
        ...(typeof trained === "number" && { trained }),
        ...(Number.isFinite(evaluations) && { evaluations }),
        ...(analytic && { analyticAbove: analytic.part.above }),
        ...(analyticEvaluations > 0 && { analyticEvaluations }),
      },
      method: {
        images: { count: seeds.length, seeds: formatIntegers(seeds) },
        drawing: facts,
      },
    },
    evaluations,
    secondsPerEvaluation: (images, now) => evaluationSeconds(snapshot.denoiser, images, now),
    *batches(size) {
      const { first, end } = partOf(seeds.length, context.rank);
      const own = seeds.slice(first, end);
      const batches = Array.from({ length: Math.ceil(own.length / size) }, (_, i) =>
        own.slice(i * size, (i + 1) * size),
      );
      for (const { images } of drawBatches(drawing, batches, context, new DrawingTally(context.now))) yield images;
    },
    dispose: () => drawing.dispose(),
    [Symbol.dispose]: () => drawing.dispose(),
  };
}

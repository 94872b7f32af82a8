/** Likelihoods as a job: from a request to bits per dimension with their errors. */

import { Generator, rand, randint, scope, stack, type Tensor, writeFileAtomically } from "@stf/torch";
import { loadSnapshot, type Snapshot } from "../checkpoints/network-file.js";
import { InputError, UsageError } from "../common/errors.js";
import { digestOf } from "../common/file-digest.js";
import { makeFolderFor } from "../common/folders.js";
import { formatImageShape } from "../common/image-shape.js";
import { checkAlone } from "../common/ranks.js";
import { abbreviated, formatDuration } from "../common/text.js";
import { type LikelihoodRequest, likelihoodOptions, type ResolvedLikelihood } from "../config/likelihood-request.js";
import { storedNames } from "../config/training.js";
import type { ImageBank } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import { openDataset } from "../data/open.js";
import type { Denoiser } from "../networks/denoiser.js";
import { processFor } from "../processes/by-name.js";
import type { Process } from "../processes/process.js";
import { type Purpose, randomKey } from "../random/keyed.js";
import type { Protocol } from "../run/protocol.js";
import { checkKnown, denoiseClasses, rangeWithin } from "../sampling/generate.js";
import { type ClassDenoise, handedOver, SMOOTH_BLEND } from "../sampling/hand-over.js";
import { bitsPerDimension, dequantize, logDensity } from "../sampling/log-density.js";
import { type OpenedAnalytic, storedPart } from "./analytic-part.js";
import { checkStop, type JobContext, jobContext, Stopped } from "./context.js";
import { checkDevice, deviceOf } from "./device.js";
import { weightsOf } from "./drawing-protocol.js";
import { gatherArrays } from "./gathered.js";
import { machineMemory, withinMemory } from "./memory.js";
import { writeOrRescue } from "./rescue.js";
import { checkSame, checkSameRequest } from "./same-work.js";
import { latestSnapshot } from "./snapshots.js";
import type { Team } from "./team.js";

/** The flow, and the times of images and noise on it. */
interface Path {
  readonly process: Process;
  readonly first: number;
  readonly last: number;
}

/** The time of the images, for processes that reach their noise level only later. */
const FIRST_TIME = 1e-5;

function pathOf(request: ResolvedLikelihood, { preconditioning }: Denoiser): Path {
  const range = rangeWithin({ sigmaMin: request.sigma_min, sigmaMax: request.sigma_max }, preconditioning);
  if (range.sigmaMin >= range.sigmaMax) {
    throw new UsageError(
      `the network covers noise levels from ${preconditioning.sigmaMin} to ${preconditioning.sigmaMax}; change 'sigma_min' or 'sigma_max'`,
    );
  }
  const process = processFor(request.process, preconditioning.process, range);
  // A process without an end time has a time for every noise level.
  const path = Number.isFinite(process.end)
    ? { process, first: FIRST_TIME, last: process.end }
    : { process, first: process.sigmaInverse(range.sigmaMin), last: process.sigmaInverse(range.sigmaMax) };
  checkKnown(path.process, path, preconditioning);
  return path;
}

/** @throws InputError when the network cannot evaluate such images. */
function checkImages(
  bank: ImageBank,
  { labelDim }: Denoiser,
  request: ResolvedLikelihood,
  shape: ImageBank["shape"],
): void {
  const [found, wanted] = [formatImageShape(bank.shape), formatImageShape(shape)];
  if (found !== wanted) {
    throw new InputError(`${request.data} must hold images of ${wanted} like the network's, found ${found}`);
  }
  if (labelDim > 0 && request.class === "data") {
    const wrong = bank.labels ? bank.labels.find((label) => label >= labelDim) : -1;
    if (wrong !== undefined) {
      throw new InputError(
        `${request.data} must have class labels from 0 to ${labelDim - 1}, found ${wrong < 0 ? "none" : wrong}; or evaluate without a class, 'class=none'`,
      );
    }
  }
}

/** Bits per dimension of images. */
interface Measured {
  /** `[images][repeats][probes]` */
  readonly bits: readonly number[][][];
  readonly evaluations: number;
  readonly analyticEvaluations: number;
  /** Whether the job was stopped before all images were evaluated. */
  readonly isPartial?: boolean;
}

/** Random numbers of an image: they depend only on the seed and the image's number, not on the batch. */
function ofImages(
  first: number,
  count: number,
  purpose: Purpose,
  request: ResolvedLikelihood,
  draw: (generator: Generator) => Tensor,
): Tensor {
  return scope(() => {
    using generator = new Generator(0, request.device);
    return stack(
      Array.from({ length: count }, (_, i) => draw(generator.manualSeed(randomKey(request.seed, purpose, first + i)))),
    );
  });
}

/** Input of {@link measure}. */
interface Measurement {
  readonly denoiser: Denoiser;
  readonly analytic: OpenedAnalytic | undefined;
  readonly bank: ImageBank;
  readonly path: Path;
  readonly request: ResolvedLikelihood;
  readonly context: JobContext;
  readonly count: number;
}

function measureBatch(
  first: number,
  count: number,
  { denoiser, analytic, bank, path, request }: Measurement,
  onStep: (share: number) => void,
): Measured {
  const { channels, height, width } = bank.shape;
  const shape = [channels, height, width];
  const { probes, repeats, device, rtol, atol } = request;
  const indices = Int32Array.from({ length: count }, (_, i) => first + i);
  const isTold = denoiser.labelDim > 0 && request.class === "data";
  const bits: number[][][] = Array.from(indices, () => []);
  let evaluations = 0;
  let analyticEvaluations = 0;
  const network = denoiseClasses(denoiser);
  const counted: ClassDenoise = (...input) => {
    evaluations++;
    return network(...input);
  };
  const denoise = analytic
    ? handedOver(counted, { ...analytic.part, blend: SMOOTH_BLEND }, () => void analyticEvaluations++)
    : counted;
  scope(() => {
    const classes = isTold ? indices.map((index) => bank.labels?.[index] ?? 0) : undefined;
    const uniform = ofImages(first, count, "dequantization", request, (generator) =>
      rand([repeats, ...shape], { generator, dtype: "float64", device }),
    );
    const signs = ofImages(first, count, "probes", request, (generator) =>
      randint(0, 2, [repeats, probes, ...shape], { generator, device })
        .double()
        .mul_(2)
        .sub_(1),
    );
    const bytes = bank.gather(indices).view([count, ...shape]);
    for (let repeat = 0; repeat < repeats; repeat++) {
      const found = scope(() => {
        const own = signs.select(1, repeat);
        return logDensity(
          (x, sigma) => denoise(x, sigma, classes),
          dequantize(bytes, uniform.select(1, repeat)),
          Array.from({ length: probes }, (_, p) => own.select(1, p).contiguous()),
          { ...path, rtol, atol, onStep: (share) => onStep((repeat + share) / repeats) },
        );
      });
      const values = Array.from(found.logDensity.toFloat64Array(), (value) => bitsPerDimension(value, bank.dimension));
      bits.forEach((own, i) => void own.push(values.slice(i * probes, (i + 1) * probes)));
    }
  });
  return { bits, evaluations: evaluations / repeats, analyticEvaluations: analyticEvaluations / repeats };
}

/** What to lower when a batch does not fit in memory. */
function memoryAdvice({ batch, probes, repeats }: ResolvedLikelihood): string {
  const parts = [
    `'batch' (it is ${batch})`,
    probes > 1 && `'probes' (${probes})`,
    repeats > 1 && `'repeats' (${repeats})`,
  ];
  return `lower ${parts.filter(Boolean).join(" or ")}`;
}

/**
 * Some systems end a process that takes too much memory without an error that could be reported.
 *
 * @throws InputError when the random numbers of a batch alone take more memory than there is
 */
function checkMemory({ request, bank, count }: Measurement, available: number): void {
  const { batch, probes, repeats } = request;
  // Each is drawn as a whole number, converted to float64, and copied into the batch.
  const bytes = 3 * 8 * Math.min(batch, count) * bank.dimension * repeats * (1 + probes);
  if (bytes <= available) return;
  throw new InputError(
    `there is not enough memory: the random numbers of a batch take ${(bytes / 2 ** 30).toFixed(1)} GiB; ${memoryAdvice(request)}`,
  );
}

/** The result of `body`, or undefined if the job was stopped. */
function untilStopped<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof Stopped) return undefined;
    throw error;
  }
}

/** A batch of images in order, and what was found. */
interface MeasuredBatch extends Measured {
  /** Number of its first image. */
  readonly first: number;
}

/** Every size-th batch, until the job is stopped. */
function measureOwn(measurement: Measurement): MeasuredBatch[] {
  const { request, context, count } = measurement;
  const { reporter, now } = context;
  const { rank, size: processes } = context.rank;
  const firsts = Array.from({ length: Math.ceil(count / request.batch) }, (_, k) => k * request.batch).filter(
    (_, k) => k % processes === rank,
  );
  const sizeOf = (first: number): number => Math.min(request.batch, count - first);
  const all = firsts.reduce((sum, first) => sum + sizeOf(first), 0);
  const start = now();
  const measured: MeasuredBatch[] = [];
  let before = 0;
  for (const first of firsts) {
    const size = sizeOf(first);
    const found = untilStopped(() =>
      measureBatch(first, size, measurement, (progress) => {
        checkStop(context);
        const done = before + size * progress;
        if (done === 0) return;
        const rate = done / (now() - start);
        reporter.update(
          `${Math.floor(done)} of ${all} images  ${rate.toFixed(2)} images/s  ${formatDuration((all - done) / rate)} left`,
        );
      }),
    );
    if (!found) break;
    measured.push({ ...found, first });
    before += size;
    const bits = average(measured.flatMap((batch) => batch.bits.map(meanOf)));
    const whose = processes > 1 ? " of the first process" : "";
    reporter.printPlain(`${before} of ${all} images${whose}, ${bits.toFixed(4)} bits/dim so far`);
  }
  return measured;
}

/** The batches of all processes. */
function gatherBatches(own: readonly MeasuredBatch[], { probes, repeats }: ResolvedLikelihood, team: Team) {
  const about = gatherArrays(
    own.map(({ first, bits, evaluations, analyticEvaluations }) => [
      Float64Array.of(first, bits.length, evaluations, analyticEvaluations),
    ]),
    team,
  );
  const images = gatherArrays(
    own.flatMap(({ bits }) => bits.map((image) => [Float64Array.from(image.flat())])),
    team,
  );
  let at = 0;
  return about.map(([values = new Float64Array()]): MeasuredBatch => {
    const [first = 0, count = 0, evaluations = 0, analyticEvaluations = 0] = values;
    const bits = images
      .slice(at, at + count)
      .map(([image]) =>
        Array.from({ length: repeats }, (_, r) => Array.from(image?.slice(r * probes, (r + 1) * probes) ?? [])),
      );
    at += count;
    return { first, bits, evaluations, analyticEvaluations };
  });
}

/** Measures all images, each batch in one of the processes; what is complete from the first image on, if the job is stopped. */
function measure(measurement: Measurement): Measured {
  const { context, request, count } = measurement;
  const own = measureOwn(measurement);
  const all = context.team ? gatherBatches(own, request, context.team) : own;
  all.sort((one, other) => one.first - other.first);
  const missing = all.findIndex(({ first }, k) => first !== k * request.batch);
  const batches = missing < 0 ? all : all.slice(0, missing);
  const bits = batches.flatMap((batch) => batch.bits);
  const mean = (of: (batch: Measured) => number): number =>
    batches.reduce((sum, batch) => sum + of(batch), 0) / Math.max(batches.length, 1);
  return {
    bits,
    evaluations: mean(({ evaluations }) => evaluations),
    analyticEvaluations: mean(({ analyticEvaluations }) => analyticEvaluations),
    isPartial: bits.length < count,
  };
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard error of the mean, from the scatter of the values. */
function standardError(values: readonly number[]): number {
  const mean = average(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

/** Mean of an image, over repeats and probes. */
const meanOf = (repeats: readonly number[][]): number => average(repeats.map(average));

/** Standard errors of the mean, as far as they can be estimated. */
export interface LikelihoodErrors {
  /** From the scatter of the images. */
  readonly images?: number;
  /** From the scatter of the repeats: dequantization noise and probes together. */
  readonly repeats?: number;
  /** From the scatter of the probes, if there are no repeats. */
  readonly probes?: number;
}

function errorsOf({ bits }: Measured): LikelihoodErrors {
  const ofEstimates = (estimates: (repeats: number[][]) => number[]): number =>
    Math.sqrt(bits.reduce((sum, repeats) => sum + standardError(estimates(repeats)) ** 2, 0)) / bits.length;
  const [first = []] = bits;
  const images = bits.length > 1 ? { images: standardError(bits.map(meanOf)) } : {};
  // The probes of a repeat share its dequantization noise, so repeats vary by both and probes only by themselves.
  if (first.length > 1) return { ...images, repeats: ofEstimates((repeats) => repeats.map(average)) };
  return (first[0]?.length ?? 0) > 1 ? { ...images, probes: ofEstimates(([only = []]) => only) } : images;
}

async function protocolOf(
  found: Measured,
  { request, path, bank, analytic }: Measurement,
  weights: string,
): Promise<Protocol> {
  const { network, data, class: told, probes, repeats, rtol, atol, seed } = request;
  return {
    subject: { network, network_sha256: await digestOf(network), data },
    method: {
      network: { weights },
      images: { sha256: digestOfImages(bank), count: found.bits.length, class: told },
      flow: {
        process: request.process,
        sigmaMin: path.process.sigma(path.first),
        sigmaMax: path.process.sigma(path.last),
        rtol,
        atol,
        ...(analytic && { analyticAbove: analytic.part.above }),
      },
      estimate: { probes, repeats, seed },
    },
  };
}

/** The result, over all images or those evaluated before the job was stopped. */
export interface LikelihoodResult {
  /** "stopped" when `context.shouldStop` ended it. */
  readonly reason: "finished" | "stopped";
  /** Number of images requested. */
  readonly asked: number;
  /** Mean over the images; NaN without images. */
  readonly bitsPerDimension: number;
  /** Standard errors of that mean. */
  readonly errors: LikelihoodErrors;
  /** Bits per dimension of each image. */
  readonly perImage: readonly number[];
  /** Network evaluations per image, chosen by the solver. */
  readonly evaluations: number;
  /** Evaluations of the analytic denoiser per image; near the noise level of the hand-over both are evaluated. */
  readonly analyticEvaluations: number;
  /** Seconds of computation. */
  readonly seconds: number;
  /** How the values were computed. */
  readonly protocol: Protocol;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** The images of a request. @throws InputError when they cannot be read, or the network cannot evaluate them */
async function openImages(
  options: ResolvedLikelihood,
  { denoiser, config, about }: Snapshot,
  notes: string[],
  { reporter }: JobContext,
): Promise<ImageBank> {
  const names = storedNames(about["classNames"]);
  const images = await openDataset(options.data, {
    labels: denoiser.labelDim > 0 && options.class === "data",
    // Classes keep their numbers from training. Networks without class names come from classes sorted as text.
    numbering: names ?? "text",
    onNote: (line) => void notes.push(line),
    onProgress: (done, total) => reporter.update(`reading ${options.data}: ${done} of ${total} images`),
  });
  reporter.clear();
  try {
    const stranger = names && images.classNames?.find((name) => !names.includes(name));
    if (stranger !== undefined) {
      throw new InputError(
        `${options.data} must have only the network's classes (${abbreviated(names ?? [])}), found ${stranger}; rename or remove it, or evaluate without a class, 'class=none'`,
      );
    }
    checkImages(images, denoiser, options, config.shape);
    return images;
  } catch (error) {
    images.dispose();
    throw error;
  }
}

/**
 * Bits per dimension of images under a network, along the probability flow; with `dest`, also written to a JSON file. Connected
 * processes divide the batches, and all have the result, which the first one writes.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used.
 */
export async function likelihood(
  request: LikelihoodRequest,
  context: JobContext = jobContext(),
): Promise<LikelihoodResult> {
  const asked = likelihoodOptions(request);
  const { reporter } = context;
  const { team, rank } = context;
  if (!team) checkAlone("likelihood", rank);
  else checkSameRequest(request, team, ["network", "data", "dest"]);
  checkDevice(asked.device);
  const chosen = latestSnapshot(asked.network);
  const options = { ...asked, network: chosen.path, device: deviceOf(asked.device, rank) };
  const snapshot = loadSnapshot(options.network, { device: options.device });
  const opened: { dispose(): void }[] = [snapshot];
  try {
    const { denoiser } = snapshot;
    const analytic = storedPart(snapshot, options, options.network);
    const path = pathOf(options, denoiser);
    const notes = [...chosen.notes];
    const images = await openImages(options, snapshot, notes, context);
    opened.push(images);
    const dest = rank.rank === 0 ? options.dest : null;
    if (dest !== null) makeFolderFor(dest, "dest");
    for (const note of notes) reporter.print(`note: ${note}`);
    const bank = options.device === "cpu" ? images : images.to(options.device);
    if (bank !== images) opened.push(bank);
    const count = Math.min(options.num ?? bank.count, bank.count);
    if (team) checkSame("network and images", `${await digestOf(options.network)} ${digestOfImages(images)}`, team);
    const measurement: Measurement = { denoiser, analytic, bank, path, request: options, context, count };
    const start = context.now();
    checkMemory(measurement, machineMemory());
    const found = await withinMemory(
      () => memoryAdvice(options),
      () => measure(measurement),
    );
    const perImage = found.bits.map(meanOf);
    const result: LikelihoodResult = {
      reason: found.isPartial ? "stopped" : "finished",
      asked: count,
      bitsPerDimension: average(perImage),
      errors: errorsOf(found),
      perImage,
      evaluations: found.evaluations,
      analyticEvaluations: found.analyticEvaluations,
      seconds: context.now() - start,
      protocol: await protocolOf(found, measurement, weightsOf(snapshot)),
    };
    if (dest !== null && perImage.length > 0) {
      const { bitsPerDimension, evaluations, analyticEvaluations, protocol } = result;
      const text = JSON.stringify(
        { bitsPerDimension, evaluations, analyticEvaluations, protocol, perImage },
        undefined,
        2,
      );
      const bytes = new TextEncoder().encode(`${text}\n`);
      const { problem } = await writeOrRescue(dest, (place) => writeFileAtomically(place, bytes));
      if (problem !== undefined) return { ...result, problem };
    }
    return result;
  } finally {
    for (const each of opened) each.dispose();
  }
}

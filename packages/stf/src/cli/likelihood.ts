/** `stf likelihood` */

import { catchInterrupts, Generator, rand, randint, scope, stack, type Tensor, writeFileAtomically } from "@stf/torch";
import type { ImageBank } from "../data/image-bank.js";
import { openDataset } from "../data/open.js";
import type { Denoiser } from "../networks/denoiser.js";
import { oneHot } from "../networks/network.js";
import { processFor } from "../processes/by-name.js";
import type { Process } from "../processes/process.js";
import { type Purpose, randomKey } from "../random/keyed.js";
import { InputError, UsageError } from "../run/errors.js";
import { makeFolderFor } from "../run/folder.js";
import { formatDuration, formatImageShape, formatLevel } from "../run/format.js";
import { checkKnown, denoiseWith, rangeWithin } from "../sampling/generate.js";
import { bitsPerDimension, dequantize, logDensity } from "../sampling/likelihood.js";
import { loadSnapshot } from "../training/checkpoint.js";
import { checkDevice } from "./device.js";
import { digestOf } from "./digest.js";
import { INTERRUPTED, Interruption, stopIfInterrupted } from "./interrupts.js";
import type { LikelihoodRequest } from "./likelihood-command.js";
import { StatusLine } from "./progress.js";

/** The flow, and where on it images and noise are. */
interface Path {
  readonly process: Process;
  readonly first: number;
  readonly last: number;
}

/** The time at which images are, of processes that are at their noise level only later. */
const FIRST_TIME = 1e-5;

function pathOf(request: LikelihoodRequest, { preconditioning }: Denoiser): Path {
  const range = rangeWithin({ sigmaMin: request.sigma_min, sigmaMax: request.sigma_max }, preconditioning);
  if (range.sigmaMin >= range.sigmaMax) {
    throw new UsageError(
      `the network knows noise levels from ${preconditioning.sigmaMin} to ${preconditioning.sigmaMax}; change --sigma_min or --sigma_max`,
    );
  }
  const process = processFor(request.process, preconditioning.process, range);
  // A process without an end has a time for every noise level.
  const path = Number.isFinite(process.end)
    ? { process, first: FIRST_TIME, last: process.end }
    : { process, first: process.sigmaInverse(range.sigmaMin), last: process.sigmaInverse(range.sigmaMax) };
  checkKnown(path.process, path, preconditioning);
  return path;
}

/** @throws InputError when the network cannot be asked about such images. */
function checkImages(
  bank: ImageBank,
  { labelDim }: Denoiser,
  request: LikelihoodRequest,
  shape: ImageBank["shape"],
): void {
  const [found, wanted] = [formatImageShape(bank.shape), formatImageShape(shape)];
  if (found !== wanted) {
    throw new InputError(`${request.data} must hold images of ${wanted} as the network's, found ${found}`);
  }
  if (labelDim > 0 && request.class === "data") {
    const wrong = bank.labels ? bank.labels.find((label) => label >= labelDim) : -1;
    if (wrong !== undefined) {
      throw new InputError(
        `${request.data} must have class labels from 0 to ${labelDim - 1}, found ${wrong < 0 ? "none" : wrong}; or ask without a class, --class=none`,
      );
    }
  }
}

/** Bits per dimension of images. */
interface Measured {
  /** `[images][repeats][probes]` */
  readonly bits: readonly number[][][];
  readonly evaluations: number;
  /** Whether Ctrl-C came before all images were done. */
  readonly isPartial?: boolean;
}

/** Random numbers of an image that depend on the seed and its own number alone, whatever the batch. */
function ofImages(
  first: number,
  count: number,
  purpose: Purpose,
  request: LikelihoodRequest,
  draw: (generator: Generator) => Tensor,
): Tensor {
  return scope(() => {
    using generator = new Generator(0, request.device);
    return stack(
      Array.from({ length: count }, (_, i) => draw(generator.manualSeed(randomKey(request.seed, purpose, first + i)))),
    );
  });
}

/** What {@link measure} needs. */
interface Measurement {
  readonly denoiser: Denoiser;
  readonly bank: ImageBank;
  readonly path: Path;
  readonly request: LikelihoodRequest;
  readonly status: StatusLine;
  readonly count: number;
}

function measureBatch(
  first: number,
  count: number,
  { denoiser, bank, path, request }: Measurement,
  onStep: (share: number) => void,
): Measured {
  const { channels, height, width } = bank.shape;
  const shape = [channels, height, width];
  const { probes, repeats, device, rtol, atol } = request;
  const indices = Int32Array.from({ length: count }, (_, i) => first + i);
  const isTold = denoiser.labelDim > 0 && request.class === "data";
  const bits: number[][][] = Array.from(indices, () => []);
  let evaluations = 0;
  scope(() => {
    const classes = indices.map((index) => bank.labels?.[index] ?? 0);
    const labels = isTold ? oneHot(classes, denoiser.labelDim, { dtype: "float32", device }) : undefined;
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
          denoiseWith(denoiser, { labels }),
          dequantize(bytes, uniform.select(1, repeat)),
          Array.from({ length: probes }, (_, p) => own.select(1, p).contiguous()),
          { ...path, rtol, atol, onStep: (share) => onStep((repeat + share) / repeats) },
        );
      });
      evaluations += found.evaluations;
      const values = Array.from(found.logDensity.toFloat64Array(), (value) => bitsPerDimension(value, bank.dimension));
      bits.forEach((own, i) => void own.push(values.slice(i * probes, (i + 1) * probes)));
    }
  });
  return { bits, evaluations: evaluations / repeats };
}

/** What `body` returns, or undefined when Ctrl-C ended it. */
function untilInterrupted<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (error instanceof Interruption) return undefined;
    throw error;
  }
}

function measure(measurement: Measurement): Measured {
  const { request, status, count } = measurement;
  const start = performance.now();
  const bits: number[][][] = [];
  let evaluations = 0;
  let batches = 0;
  for (let first = 0; first < count; first += request.batch) {
    const size = Math.min(request.batch, count - first);
    const found = untilInterrupted(() =>
      measureBatch(first, size, measurement, (share) => {
        stopIfInterrupted();
        const done = first + size * share;
        if (done === 0) return;
        const rate = done / ((performance.now() - start) / 1000);
        status.update(
          `${Math.floor(done)} of ${count} images  ${rate.toFixed(2)} images/s  ${formatDuration((count - done) / rate)} left`,
        );
      }),
    );
    if (!found) return { bits, evaluations: evaluations / Math.max(batches, 1), isPartial: true };
    bits.push(...found.bits);
    evaluations += found.evaluations;
    batches++;
    status.printPlain(`${first + size} of ${count} images, ${average(bits.map(meanOf)).toFixed(4)} bits/dim so far`);
  }
  return { bits, evaluations: evaluations / batches };
}

const average = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Standard error of the mean, from the scatter of the values. */
function standardError(values: readonly number[]): number {
  const mean = average(values);
  const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1) / values.length);
}

/** Of an image, over repeats and probes. */
const meanOf = (repeats: readonly number[][]): number => average(repeats.map(average));

/** Errors of the mean over images, as far as there is something to tell them from. */
function errorsOf({ bits }: Measured): string[] {
  const shown = (error: number, over: string): string => `+- ${error.toFixed(4)} over ${over}`;
  const errors = bits.length > 1 ? [shown(standardError(bits.map(meanOf)), "images")] : [];
  const ofEstimates = (estimates: (repeats: number[][]) => number[]): number =>
    Math.sqrt(bits.reduce((sum, repeats) => sum + standardError(estimates(repeats)) ** 2, 0)) / bits.length;
  const [first = []] = bits;
  // The probes of a repeat share its noise in the grey levels: repeats vary by both, probes by themselves.
  if (first.length > 1)
    errors.push(
      shown(
        ofEstimates((repeats) => repeats.map(average)),
        "repeats",
      ),
    );
  else if ((first[0]?.length ?? 0) > 1)
    errors.push(
      shown(
        ofEstimates(([only = []]) => only),
        "probes",
      ),
    );
  return errors;
}

/** Prints the result, and writes it where that is wanted. */
async function report(found: Measured, { request, path, status }: Measurement, seconds: number): Promise<void> {
  const { network, data, class: told, dest, probes, repeats, rtol, atol, seed } = request;
  const means = found.bits.map(meanOf);
  const level = (t: number): string => formatLevel(path.process.sigma(t));
  status.print([`${average(means).toFixed(4)} bits/dim`, errorsOf(found).join(", ")].join(" ").trim());
  status.print(
    `of ${means.length} images with ${probes} probe${probes === 1 ? "" : "s"} each; ${request.process}, noise levels ${level(path.first)} to ${level(path.last)}, ` +
      `rtol ${rtol}, atol ${atol}, seed ${seed}; ${Math.round(found.evaluations)} network evaluations, ${formatDuration(seconds)}`,
  );
  if (dest === null) return;
  const protocol = {
    network,
    network_sha256: await digestOf(network),
    data,
    images: means.length,
    class: told,
    probes,
    repeats,
    process: request.process,
    sigmaMin: path.process.sigma(path.first),
    sigmaMax: path.process.sigma(path.last),
    rtol,
    atol,
    seed,
    evaluations: found.evaluations,
  };
  const text = JSON.stringify({ bitsPerDimension: average(means), protocol, perImage: means }, undefined, 2);
  writeFileAtomically(dest, new TextEncoder().encode(`${text}\n`));
}

/** Runs the command. Returns the exit code. */
export async function likelihood(request: LikelihoodRequest): Promise<number> {
  checkDevice(request.device);
  const { denoiser, config } = loadSnapshot(request.network, { device: request.device });
  const path = pathOf(request, denoiser);
  const status = new StatusLine({ plainSeconds: 60 });
  const images = await openDataset(request.data, {
    labels: denoiser.labelDim > 0,
    onProgress: (done, total) => status.update(`reading ${request.data}: ${done} of ${total} images`),
  });
  status.clear();
  checkImages(images, denoiser, request, config.shape);
  if (request.dest !== null) makeFolderFor(request.dest, "--dest");
  const bank = request.device === "cpu" ? images : images.to(request.device);
  const count = Math.min(request.num ?? bank.count, bank.count);
  const measurement: Measurement = { denoiser, bank, path, request, status, count };
  const start = performance.now();
  catchInterrupts(true);
  const found = measure(measurement);
  if (found.isPartial) status.print(`stopped after ${found.bits.length} of ${count} images`);
  if (found.bits.length > 0) await report(found, measurement, (performance.now() - start) / 1000);
  return found.isPartial ? INTERRUPTED : 0;
}

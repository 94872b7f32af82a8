/** `stf likelihood` */

import { dirname } from "node:path";
import {
  catchInterrupts,
  Generator,
  rand,
  randint,
  scope,
  stack,
  type Tensor,
  writeAll,
  writeFileAtomically,
} from "@stf/torch";
import type { ImageBank } from "../data/image-bank.js";
import { openDataset } from "../data/open.js";
import type { Denoiser } from "../networks/denoiser.js";
import { oneHot } from "../networks/network.js";
import { edmProcess, type Process, subVpProcess, veProcess, vpProcess } from "../processes/process.js";
import { type Purpose, randomKey } from "../random/keyed.js";
import { InputError, UsageError } from "../run/errors.js";
import { makeFolder } from "../run/folder.js";
import { formatDuration } from "../run/format.js";
import { denoiseWith, rangeWithin } from "../sampling/generate.js";
import { bitsPerDimension, dequantize, logDensity } from "../sampling/likelihood.js";
import { loadSnapshot } from "../training/checkpoint.js";
import { checkDevice } from "./device.js";
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
  const paths: Record<LikelihoodRequest["process"], () => Path> = {
    edm: () => ({ process: edmProcess, first: range.sigmaMin, last: range.sigmaMax }),
    ve: () => ({ process: veProcess(range), first: FIRST_TIME, last: 1 }),
    vp: () => ({ process: vpProcess(), first: FIRST_TIME, last: 1 }),
    subvp: () => ({ process: subVpProcess(), first: FIRST_TIME, last: 1 }),
  };
  return paths[request.process]();
}

/** @throws InputError when the network cannot be asked about such images. */
function checkImages(
  bank: ImageBank,
  { labelDim }: Denoiser,
  request: LikelihoodRequest,
  shape: ImageBank["shape"],
): void {
  const size = ({ width, height, channels }: ImageBank["shape"]): string => `${width}x${height}x${channels}`;
  if (size(bank.shape) !== size(shape)) {
    throw new InputError(
      `${request.data} must hold images of ${size(shape)} as the network's, found ${size(bank.shape)}`,
    );
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

/** The bits of every image: under each probe, for each time that it was spread over its grey levels. */
interface Measured {
  /** `[images][repeats x probes]` */
  readonly bits: readonly number[][];
  readonly evaluations: number;
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
  const bits: number[][] = Array.from(indices, () => []);
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
      found.logDensity.toFloat64Array().forEach((value, i) => {
        bits[Math.floor(i / probes)]?.push(bitsPerDimension(value, bank.dimension));
      });
    }
  });
  return { bits, evaluations: evaluations / repeats };
}

function measure(measurement: Measurement): Measured {
  const { request, status, count } = measurement;
  const start = performance.now();
  const bits: number[][] = [];
  let evaluations = 0;
  let batches = 0;
  for (let first = 0; first < count; first += request.batch) {
    const size = Math.min(request.batch, count - first);
    const found = measureBatch(first, size, measurement, (share) => {
      stopIfInterrupted();
      const done = first + size * share;
      const rate = done / ((performance.now() - start) / 1000);
      status.update(
        `${Math.floor(done)} of ${count} images  ${rate.toFixed(2)} images/s  ${formatDuration((count - done) / rate)} left`,
      );
    });
    bits.push(...found.bits);
    evaluations += found.evaluations;
    batches++;
    if (!process.stdout.isTTY)
      status.print(`${first + size} of ${count} images, ${average(bits.map(average)).toFixed(4)} bits/dim so far`);
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

/** Of the mean over images: how far the probes and the noise in the grey levels move it. */
function estimatorError(bits: readonly number[][]): number | undefined {
  if ((bits[0]?.length ?? 0) < 2) return undefined;
  const variance = bits.reduce((sum, own) => sum + standardError(own) ** 2, 0);
  return Math.sqrt(variance) / bits.length;
}

/** Runs the command. Returns the exit code. */
export async function likelihood(request: LikelihoodRequest): Promise<number> {
  const { dest, probes, repeats, rtol, atol, seed } = request;
  checkDevice(request.device);
  const { denoiser, config } = loadSnapshot(request.network, { device: request.device });
  const path = pathOf(request, denoiser);
  const status = new StatusLine();
  const images = await openDataset(request.data, {
    labels: denoiser.labelDim > 0,
    onProgress: (done, total) => status.update(`reading ${request.data}: ${done} of ${total} images`),
  });
  status.clear();
  checkImages(images, denoiser, request, config.shape);
  if (dest !== null) makeFolder(dirname(dest));
  const bank = request.device === "cpu" ? images : images.to(request.device);
  const count = Math.min(request.num ?? bank.count, bank.count);
  const start = performance.now();
  catchInterrupts(true);
  const found = (() => {
    try {
      return measure({ denoiser, bank, path, request, status, count });
    } catch (error) {
      if (error instanceof Interruption) return undefined;
      throw error;
    }
  })();
  if (!found) {
    status.print("stopped");
    return INTERRUPTED;
  }
  const means = found.bits.map(average);
  const overProbes = estimatorError(found.bits);
  const errors = [
    count > 1 && `+- ${standardError(means).toFixed(4)} over images`,
    overProbes !== undefined && `+- ${overProbes.toFixed(4)} over probes`,
  ].filter((error) => error !== false);
  const level = (t: number): string => Number(path.process.sigma(t).toPrecision(4)).toString();
  const protocol = {
    images: count,
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
  status.print(`${average(means).toFixed(4)} bits/dim ${errors.join(", ")}`);
  status.print(
    `of ${count} images with ${probes} probe${probes === 1 ? "" : "s"} each; ${request.process}, noise levels ${level(path.first)} to ${level(path.last)}, ` +
      `rtol ${rtol}, atol ${atol}, seed ${seed}; ${Math.round(found.evaluations)} network evaluations, ${formatDuration((performance.now() - start) / 1000)}`,
  );
  if (dest !== null) {
    const text = JSON.stringify({ bitsPerDimension: average(means), protocol, perImage: means }, undefined, 2);
    writeFileAtomically(dest, (descriptor) => writeAll(descriptor, new TextEncoder().encode(`${text}\n`)));
  }
  return 0;
}

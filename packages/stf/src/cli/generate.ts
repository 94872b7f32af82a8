/** `stf generate` */

import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { catchInterrupts, interruptCount, scope } from "@stf/torch";
import { samplerOf } from "../config/generate-options.js";
import { samplingMethod } from "../config/sampling.js";
import type { ImageShape } from "../data/bank.js";
import { writeAnimation } from "../images/animation.js";
import { writeGrid } from "../images/png.js";
import type { Denoiser } from "../networks/denoiser.js";
import { UsageError } from "../run/errors.js";
import { makeFolder } from "../run/folder.js";
import { formatDuration } from "../run/format.js";
import { type GenerateOptions, generateImages, type Method } from "../sampling/generate.js";
import { drawnClasses } from "../sampling/noise.js";
import { loadSnapshot, type Snapshot } from "../training/checkpoint.js";
import { checkDevice } from "./device.js";
import type { GenerateRequest } from "./generate-command.js";
import { givenImage } from "./given-image.js";
import { ImageOutput } from "./image-output.js";
import { imagesOf } from "./pictures.js";
import { StatusLine } from "./progress.js";
import { TrajectoryFrames } from "./trajectory.js";

const INTERRUPTED = 130;

/** @throws UsageError when the network knows no such class. */
function checkClass(label: number | null, labelDim: number): void {
  if (label === null) return;
  if (labelDim === 0)
    throw new UsageError("--class needs a class-conditional network; this one was trained without --cond");
  if (label >= labelDim) throw new UsageError(`--class must be from 0 to ${labelDim - 1}, found ${label}`);
}

/** @throws UsageError when there is nothing to be guided away from. */
function checkGuidance(
  { guidance, gnet }: GenerateRequest,
  { denoiser, about }: Snapshot,
  weak: Snapshot | undefined,
): void {
  if (guidance === 1) return;
  if (gnet === null && denoiser.labelDim === 0) {
    throw new UsageError(
      "--guidance needs a class-conditional network, trained with --cond and --label-dropout, or a second one by --gnet",
    );
  }
  if (gnet === null && about["labelDropout"] === 0) {
    throw new UsageError(
      "--guidance needs a network that draws without a class, too; this one was trained with --label-dropout=0: train one with 0.1, or name a second network by --gnet",
    );
  }
  if (weak && weak.denoiser.labelDim !== 0 && weak.denoiser.labelDim !== denoiser.labelDim) {
    throw new UsageError(
      `--gnet must know the same classes as --network or none, found ${weak.denoiser.labelDim} and ${denoiser.labelDim}`,
    );
  }
}

/** Loads the second network. @throws UsageError when it draws other images. */
function loadWeak({ gnet, precision }: GenerateRequest, { denoiser, config }: Snapshot): Snapshot | undefined {
  if (gnet === null) return undefined;
  const weak = loadSnapshot(gnet, { precision, device: denoiser.device });
  const size = ({ width, height, channels }: ImageShape): string => `${width}x${height}x${channels}`;
  if (size(weak.config.shape) !== size(config.shape)) {
    throw new UsageError(
      `--gnet must draw images of ${size(config.shape)} as --network does, found ${size(weak.config.shape)}`,
    );
  }
  return weak;
}

/** The batches that fall to a process: of evenly split ones, every size-th. */
export function batchesOf(
  seeds: readonly number[],
  batch: number,
  { rank, size }: { readonly rank: number; readonly size: number },
): number[][] {
  const count = Math.ceil(seeds.length / (batch * size)) * size;
  // The first ones are longer by one where the seeds do not divide.
  const start = (k: number): number => k * Math.floor(seeds.length / count) + Math.min(k, seeds.length % count);
  return Array.from({ length: count }, (_, k) => seeds.slice(start(k), start(k + 1))).filter(
    (own, k) => k % size === rank && own.length > 0,
  );
}

/** Thrown out of a step, so that Ctrl-C need not wait for the batch. */
class Interrupted extends Error {}

/** What is drawn, and with what. */
interface Drawing {
  readonly denoiser: Denoiser;
  readonly shape: ImageShape;
  readonly conditions: GenerateOptions;
  readonly label: number | null;
}

/** Draws batch after batch, and counts. */
class Draughtsman {
  readonly #status: StatusLine;
  readonly #start = performance.now();
  #evaluations = 0;
  #batches = 0;
  #done = 0;

  constructor(status: StatusLine) {
    this.#status = status;
  }

  /** Images, as bytes in the order C, H, W. @throws Interrupted after Ctrl-C. */
  draw({ denoiser, shape, conditions, label }: Drawing, seeds: readonly number[], all: number): Uint8Array[] {
    const drawn = scope(() =>
      imagesOf(
        generateImages(denoiser, shape, seeds, {
          ...conditions,
          classes: label === null ? undefined : seeds.map(() => label),
          onEvaluation: () => void this.#evaluations++,
          onStep: (report) => {
            conditions.onStep?.(report);
            if (interruptCount() > 0) throw new Interrupted();
            this.#show(this.#done + seeds.length * report.progress, all);
          },
        }),
      ),
    );
    this.#batches++;
    this.#done += seeds.length;
    return drawn;
  }

  #show(done: number, all: number): void {
    const rate = done / this.seconds;
    const left = formatDuration((all - done) / rate);
    this.#status.update(`${Math.floor(done)} of ${all} images  ${rate.toFixed(1)} images/s  ${left} left`);
  }

  /** Since it began. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000;
  }

  /** "35 network evaluations each, 12.3 images/s" */
  get summary(): string {
    if (this.#batches === 0) return "nothing was missing";
    const each = this.#evaluations / this.#batches;
    const evaluations = Number.isInteger(each) ? each : each.toFixed(1);
    return `${evaluations} network evaluations each, ${(this.#done / this.seconds).toFixed(2)} images/s, ${formatDuration(this.seconds)}`;
  }
}

/** Waits for the images that other processes draw. @returns whether all came. */
async function waitForOthers({ images }: ImageOutput, seeds: readonly number[], status: StatusLine): Promise<boolean> {
  for (let missing = images.missing(seeds); missing.length > 0; missing = images.missing(missing)) {
    if (interruptCount() > 0) return false;
    status.update(`waiting for ${missing.length} images of other processes`);
    await setTimeout(200);
  }
  return true;
}

/** What was asked for, in a line. */
function description(request: GenerateRequest, { config, denoiser }: Snapshot, { steps, sigma }: Method): string {
  const sampler = samplerOf(request);
  const { width, height, channels } = config.shape;
  const levels = steps.times.filter((t) => t > 0).map(steps.process.sigma);
  const count = sampler === "rk45" ? "" : `, ${levels.length} steps`;
  return (
    `drawing ${request.seeds.length} images of ${width}x${height}x${channels} with ${sampler}${count}, noise levels ` +
    `${Number(sigma.toPrecision(4))} to ${Number((levels.at(-1) as number).toPrecision(4))}, ${denoiser.precision}`
  );
}

/** Runs the command. Returns the exit code. */
export async function generate(request: GenerateRequest): Promise<number> {
  const { seeds, outdir, grid, trajectory, rank } = request;
  const device = request.device === "cuda" && rank.size > 1 ? (`cuda:${rank.local}` as const) : request.device;
  checkDevice(device);
  const snapshot = loadSnapshot(request.network, { precision: request.precision, device });
  const { denoiser, config } = snapshot;
  const weak = loadWeak(request, snapshot);
  checkClass(request.class, denoiser.labelDim);
  checkGuidance(request, snapshot, weak);
  const method = samplingMethod(request, denoiser.preconditioning, config);
  const fromImage = await givenImage(request, config.shape, denoiser.device);
  for (const file of [grid, trajectory]) if (file !== null) makeFolder(dirname(file));
  const output = outdir === null ? undefined : await ImageOutput.open(request, outdir, config.shape);
  const frames = trajectory === null ? undefined : new TrajectoryFrames(method.steps.process, config.shape);

  const status = new StatusLine({ isQuiet: rank.rank > 0 });
  for (const line of [description(request, snapshot, method), ...request.notes.map((note) => `note: ${note}`)]) {
    status.print(line);
  }
  const drawing: Drawing = {
    denoiser,
    shape: config.shape,
    label: request.class,
    conditions: {
      method,
      guidance: { weight: request.guidance, by: weak?.denoiser },
      ...fromImage,
      onStep: frames && ((report) => frames.add(report)),
    },
  };
  // An animation needs every image from its first step on.
  const wanted = (batch: readonly number[]): readonly number[] =>
    output && !frames ? output.images.missing(batch) : batch;
  const batches = batchesOf(seeds, request.batch, rank)
    .map(wanted)
    .filter(({ length }) => length > 0);
  const count = batches.reduce((sum, { length }) => sum + length, 0);
  const pictures = new Map<number, Uint8Array>();
  const draughtsman = new Draughtsman(status);
  catchInterrupts(true);
  try {
    let done = 0;
    for (const batch of batches) {
      for (const [i, image] of draughtsman.draw(drawing, batch, count).entries()) {
        const seed = batch[i] as number;
        output?.images.write(seed, image);
        if (grid !== null && !output) pictures.set(seed, image);
      }
      done += batch.length;
      if (!process.stdout.isTTY) status.print(`${done} of ${count} images`);
    }
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    return stopped(request, status);
  }
  if (rank.rank > 0) return 0;
  if (output && !(await waitForOthers(output, seeds, status))) return stopped(request, status);

  const image = (seed: number): Uint8Array => pictures.get(seed) ?? (output?.images.read(seed) as Uint8Array);
  if (grid !== null) writeGrid(grid, seeds.map(image), config.shape);
  if (frames && trajectory !== null) {
    await writeAnimation(trajectory, frames.frames, frames.shape);
  }
  if (output) {
    const { labelDim } = denoiser;
    const drawn = (): number[] => drawnClasses(seeds, config.shape, labelDim, denoiser.device);
    const given = request.class;
    await output.finish(labelDim > 0 ? () => (given === null ? drawn() : seeds.map(() => given)) : undefined);
  }
  const places = [outdir, grid, trajectory].filter((place) => place !== null).join(" and ");
  status.print(`images in ${places}; ${draughtsman.summary}`);
  return 0;
}

function stopped({ outdir }: GenerateRequest, status: StatusLine): number {
  status.print(outdir === null ? "stopped" : `stopped; the same command draws what is missing in ${outdir}`);
  return INTERRUPTED;
}

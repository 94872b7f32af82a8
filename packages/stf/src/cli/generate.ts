/** `stf generate` */

import { catchInterrupts, scope } from "@stf/torch";
import { samplerOf } from "../config/generate-options.js";
import { samplingMethod } from "../config/sampling.js";
import { loadSharp } from "../data/decode.js";
import { writeAnimation } from "../images/animation.js";
import { writeGrid } from "../images/png.js";
import { InputError, UsageError } from "../run/errors.js";
import { makeFolderFor } from "../run/folder.js";
import { formatDuration, formatImageShape, formatLevel } from "../run/format.js";
import { type GenerateOptions, generateImages, type Method, rangeWithin } from "../sampling/generate.js";
import { drawnClasses } from "../sampling/noise.js";
import type { StepReport } from "../sampling/sampler.js";
import { loadSnapshot, type Snapshot } from "../training/checkpoint.js";
import { checkDevice } from "./device.js";
import type { GenerateRequest } from "./generate-command.js";
import { givenImage } from "./given-image.js";
import { ImageOutput, isCoupled } from "./image-output.js";
import { INTERRUPTED, Interruption, stopIfInterrupted } from "./interrupts.js";
import { imagesOf } from "./pictures.js";
import { StatusLine } from "./progress.js";
import { TrajectoryFrames } from "./trajectory.js";

/** @throws UsageError when the network knows no such class. */
function checkClass(label: number | null, labelDim: number): void {
  if (label === null) return;
  if (labelDim === 0)
    throw new UsageError("--class needs a class-conditional network; this one was trained without --cond");
  if (label >= labelDim) throw new UsageError(`--class must be from 0 to ${labelDim - 1}, found ${label}`);
}

/** @throws UsageError when there are no colours to be found. */
function checkColorize({ colorize }: GenerateRequest, { shape }: Snapshot["config"]): void {
  if (colorize && shape.channels === 1) throw new UsageError("--colorize needs a network that draws in colour");
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
  const [found, wanted] = [formatImageShape(weak.config.shape), formatImageShape(config.shape)];
  if (found !== wanted) {
    throw new UsageError(`--gnet must draw images of ${wanted} as --network does, found ${found}`);
  }
  return weak;
}

/** The batches that fall to a process: of evenly split ones, every size-th. */
function batchesOf(
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

/** A request with everything it names. */
interface Job {
  readonly request: GenerateRequest;
  readonly snapshot: Snapshot;
  readonly conditions: GenerateOptions & { readonly method: Method };
  /** Where images are kept; undefined when only a grid or an animation is wanted. */
  readonly output: ImageOutput | undefined;
  readonly frames: TrajectoryFrames | undefined;
}

/** Draws batch after batch, and counts. */
class DrawingSession {
  readonly #status: StatusLine;
  readonly #start = performance.now();
  #evaluations = 0;
  #batches = 0;
  #done = 0;

  constructor(status: StatusLine) {
    this.#status = status;
  }

  /** Images, as bytes in the order C, H, W. @throws Interruption after Ctrl-C. */
  draw({ request, snapshot, conditions }: Job, seeds: readonly number[], all: number): Uint8Array[] {
    const { class: label } = request;
    const drawn = scope(() =>
      imagesOf(
        generateImages(snapshot.denoiser, seeds, {
          ...conditions,
          classes: label === null ? undefined : seeds.map(() => label),
          onEvaluation: () => void this.#evaluations++,
          onStep: (report) => {
            conditions.onStep?.(report);
            stopIfInterrupted();
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

  /** How many images were drawn. */
  get done(): number {
    return this.#done;
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

/** Loads what the request names, and checks that it fits together. Undefined when other processes have done everything. */
async function prepare(request: GenerateRequest): Promise<Job | undefined> {
  const { outdir, grid, trajectory, rank } = request;
  const device = request.device === "cuda" && rank.size > 1 ? (`cuda:${rank.local}` as const) : request.device;
  checkDevice(device);
  const snapshot = loadSnapshot(request.network, { precision: request.precision, device });
  const { denoiser, config } = snapshot;
  const weak = loadWeak(request, snapshot);
  checkClass(request.class, denoiser.labelDim);
  checkGuidance(request, snapshot, weak);
  checkColorize(request, config);
  const { preconditioning } = denoiser;
  const range = weak ? rangeWithin(preconditioning, weak.denoiser.preconditioning) : preconditioning;
  const method = samplingMethod(request, { ...preconditioning, ...range });
  const fromImage = await givenImage(request, config.shape, denoiser.device);
  // Before hours of drawing, not after them.
  if (trajectory !== null) await loadSharp();
  if (grid !== null) makeFolderFor(grid, "--grid");
  if (trajectory !== null) makeFolderFor(trajectory, "--trajectory");
  const output = outdir === null ? undefined : await ImageOutput.open(request, outdir, config.shape);
  if (outdir !== null && !output) return undefined;
  const frames = trajectory === null ? undefined : new TrajectoryFrames(method.steps.process, config.shape);
  const conditions = {
    method,
    guidance: { weight: request.guidance, by: weak?.denoiser },
    ...fromImage,
    onStep: frames && ((report: StepReport) => frames.add(report)),
  };
  return { request, snapshot, conditions, output, frames };
}

/** What was asked for, in a line. */
function description({ request, snapshot: { config, denoiser }, conditions: { method } }: Job): string {
  const { steps, sigma } = method;
  const sampler = samplerOf(request);
  const levels = steps.times.filter((t) => t > 0).map(steps.process.sigma);
  const count = sampler === "rk45" ? "" : `, ${levels.length} steps`;
  return (
    `drawing ${request.seeds.length} ${request.seeds.length === 1 ? "image" : "images"} of ${formatImageShape(config.shape)} with ${sampler}${count}, noise levels ` +
    `${formatLevel(sigma)} to ${formatLevel(levels.at(-1) as number)}, ${denoiser.precision}`
  );
}

/**
 * Draws the share of this process, as far as it is not there yet, and waits for the others.
 *
 * @returns images that are kept nowhere else, by their seeds
 * @throws Interruption after Ctrl-C.
 */
async function drawMissing(job: Job, session: DrawingSession, status: StatusLine): Promise<Map<number, Uint8Array>> {
  const { request, output, frames } = job;
  const { seeds, batch: largest, rank } = request;
  const wanted = (batch: readonly number[]): readonly number[] => {
    // An animation needs every image from its first step on.
    if (!output || frames) return batch;
    const missing = output.images.missing(batch);
    return missing.length > 0 && isCoupled(request) ? batch : missing;
  };
  const batches = batchesOf(seeds, largest, rank)
    .map(wanted)
    .filter(({ length }) => length > 0);
  const count = batches.reduce((sum, { length }) => sum + length, 0);
  const present = rank.size === 1 ? seeds.length - count : 0;
  if (present > 0) status.print(`${present} of them ${present === 1 ? "is" : "are"} there already`);
  const pictures = new Map<number, Uint8Array>();
  for (const batch of batches) {
    for (const [i, image] of session.draw(job, batch, count).entries()) {
      const seed = batch[i] as number;
      if (output) output.images.write(seed, image);
      else pictures.set(seed, image);
    }
    status.printPlain(`${session.done} of ${count} images${rank.size > 1 ? " of the first process" : ""}`);
  }
  if (output && rank.size > 1 && rank.rank === 0) {
    let isSaid = false;
    await output.waitForAll((missing) => {
      const line = `waiting for ${missing} images of other processes`;
      status.update(line);
      if (!isSaid) status.printPlain(line);
      isSaid = true;
    });
  }
  return pictures;
}

/** Writes what is made of all images together. */
async function deliver({ request, snapshot, output, frames }: Job, pictures: Map<number, Uint8Array>): Promise<void> {
  const { seeds, grid, trajectory, class: label } = request;
  const { denoiser, config } = snapshot;
  if (grid !== null) {
    const images = seeds.map((seed) => pictures.get(seed) ?? (output?.images.read(seed) as Uint8Array));
    writeGrid(grid, images, config.shape);
  }
  if (frames && trajectory !== null) await writeAnimation(trajectory, frames.frames, frames.shape);
  const classes = (): number[] =>
    label === null ? drawnClasses(seeds, config.shape, denoiser.labelDim, denoiser.device) : seeds.map(() => label);
  await output?.finish(denoiser.labelDim > 0 ? classes : undefined);
}

/** Runs the command. Returns the exit code. */
export async function generate(request: GenerateRequest): Promise<number> {
  const { outdir, grid, trajectory, notes, rank } = request;
  const status = new StatusLine({ isQuiet: rank.rank > 0, plainSeconds: 60 });
  catchInterrupts(true);
  try {
    const job = await prepare(request);
    if (!job) return 0;
    for (const line of [description(job), ...notes.map((note) => `note: ${note}`)]) status.print(line);
    const session = new DrawingSession(status);
    const pictures = await drawMissing(job, session, status);
    if (rank.rank > 0) return 0;
    // All that took long is done: from here on Ctrl-C may simply end the process.
    catchInterrupts(false);
    await deliver(job, pictures);
    const places = [outdir, grid, trajectory].filter((place) => place !== null).join(" and ");
    status.print(`images in ${places}; ${session.summary}`);
    return 0;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOSPC" && outdir !== null) {
      const { message } = error as Error;
      throw new InputError(`${message}; make room, and the same command draws what is missing in ${outdir}`, {
        cause: error,
      });
    }
    if (!(error instanceof Interruption)) throw error;
    status.print(outdir === null ? "stopped" : `stopped; the same command draws what is missing in ${outdir}`);
    return INTERRUPTED;
  }
}

/** Drawing images as a job: from a request to a folder, an archive, a grid or an animation. */

import { scope } from "@stf/torch";
import { loadSnapshot, type Snapshot } from "../checkpoints/network-file.js";
import { writeAnimation } from "../codecs/animation.js";
import { writeGrid } from "../codecs/grid.js";
import { imagesOf } from "../codecs/planes.js";
import { loadSharp } from "../codecs/sharp.js";
import { InputError, UsageError } from "../common/errors.js";
import { isFileProblem, makeFolderFor, problemOf } from "../common/folders.js";
import { formatImageShape } from "../common/image-shape.js";
import { abbreviated, formatDuration, formatLevel } from "../common/text.js";
import { extremeOptions, samplerOf } from "../config/generate-options.js";
import { type GenerateRequest, generateOptions, type ResolvedGenerate } from "../config/generate-request.js";
import { samplingMethod } from "../config/sampling.js";
import { storedNames } from "../config/training.js";
import { isDiverged } from "../run/history.js";
import { type GenerateOptions, generateImages, type Method, rangeWithin, SamplingError } from "../sampling/generate.js";
import { drawnClasses } from "../sampling/noise.js";
import type { StepReport } from "../sampling/sampler.js";
import { checkStop, type JobContext, jobContext, Stopped } from "./context.js";
import { checkDevice } from "./device.js";
import { isCoupled } from "./drawing-protocol.js";
import { givenImage } from "./given-image.js";
import { type ImageContents, ImageOutput } from "./image-output.js";
import { withinMemory } from "./memory.js";
import { writeOrRescue } from "./rescue.js";
import { TrajectoryFrames } from "./trajectory.js";

/** Names of a network's classes by number; undefined if it was stored without names. */
const namesIn = ({ about }: Snapshot): readonly string[] | undefined => storedNames(about["classNames"]);

/**
 * The number of the requested class, given by name or number. A text that matches a name is taken as that name.
 *
 * @throws UsageError when the network has no such class.
 */
function classNumber(label: number | string | null, snapshot: Snapshot): number | null {
  if (label === null) return null;
  const { labelDim } = snapshot.denoiser;
  if (labelDim === 0)
    throw new UsageError("'class' needs a class-conditional network; this one was trained without 'cond'");
  const names = namesIn(snapshot);
  const named = names?.indexOf(String(label).normalize("NFC")) ?? -1;
  if (typeof label === "string" && named >= 0) return named;
  const isNumber = typeof label === "number" || /^\d+$/.test(label);
  if (isNumber && Number(label) < labelDim) return Number(label);
  const range = `from 0 to ${labelDim - 1}`;
  const wanted = names ? `one of ${abbreviated(names)}, or ${range}` : range;
  const advice = names || isNumber ? "" : "; this network was stored without class names";
  throw new UsageError(`'class' must be ${wanted}, found ${label}${advice}`);
}

/** "cat (number 0)", or "3" if classes have no names. */
function classTitle(label: number, names: readonly string[] | undefined): string {
  const name = names?.[label];
  return name === undefined ? String(label) : `${name} (number ${label})`;
}

/** @throws UsageError for a network that draws grey images. */
function checkColorize({ colorize }: ResolvedGenerate, { shape }: Snapshot["config"]): void {
  if (colorize && shape.channels === 1) throw new UsageError("'colorize' needs a network that draws in colour");
}

/** @throws UsageError when there is no network to guide away from. */
function checkGuidance(
  { guidance, gnet }: ResolvedGenerate,
  { denoiser, about }: Snapshot,
  weak: Snapshot | undefined,
): void {
  if (guidance === 1) return;
  if (gnet === null && denoiser.labelDim === 0) {
    throw new UsageError(
      "'guidance' needs a class-conditional network, trained with 'cond' and 'labelDropout', or a second network in 'gnet'",
    );
  }
  if (gnet === null && about["labelDropout"] === 0) {
    throw new UsageError(
      "'guidance' needs a network that can also draw without a class; this one was trained with 'labelDropout=0': train one with 0.1, or name a second network in 'gnet'",
    );
  }
  if (weak && weak.denoiser.labelDim !== 0 && weak.denoiser.labelDim !== denoiser.labelDim) {
    throw new UsageError(
      `'gnet' must have as many classes as 'network' or none, found ${weak.denoiser.labelDim} and ${denoiser.labelDim}`,
    );
  }
}

/** A note on a network that was saved while its training diverged. */
function lossNotes({ about }: Snapshot): string[] {
  const { loss, lowestLoss } = about;
  if (typeof loss !== "number" || typeof lowestLoss !== "number" || !isDiverged(loss, lowestLoss)) return [];
  return [
    `the network was saved while its training diverged: the loss was ${loss.toPrecision(3)}, up from ${lowestLoss.toPrecision(3)}; use an earlier snapshot`,
  ];
}

/** Loads the second network. @throws UsageError when its images have another shape. */
function loadWeak({ gnet, precision }: ResolvedGenerate, { denoiser, config }: Snapshot): Snapshot | undefined {
  if (gnet === null) return undefined;
  const weak = loadSnapshot(gnet, { precision, device: denoiser.device });
  const [found, wanted] = [formatImageShape(weak.config.shape), formatImageShape(config.shape)];
  if (found !== wanted) {
    throw new UsageError(`'gnet' must draw images of ${wanted} as 'network' does, found ${found}`);
  }
  return weak;
}

/** The batches of a process: every size-th of an even split. */
function batchesOf(
  seeds: readonly number[],
  batch: number,
  { rank, size }: { readonly rank: number; readonly size: number },
): number[][] {
  const count = Math.ceil(seeds.length / (batch * size)) * size;
  // The first ones are longer by one if the seeds do not divide evenly.
  const start = (k: number): number => k * Math.floor(seeds.length / count) + Math.min(k, seeds.length % count);
  return Array.from({ length: count }, (_, k) => seeds.slice(start(k), start(k + 1))).filter(
    (own, k) => k % size === rank && own.length > 0,
  );
}

/** A request with its class as a number. */
type NumberedGenerate = ResolvedGenerate & { readonly class: number | null };

/** The class of each seed's image, drawn or requested; undefined when the network has no classes. */
function classesOf(
  { class: label }: NumberedGenerate,
  { denoiser: { shape, labelDim, device } }: Snapshot,
  context: JobContext,
): ImageContents["classesOf"] {
  if (labelDim === 0) return undefined;
  if (label !== null) return (seeds) => seeds.map(() => label);
  return (seeds) =>
    // The noise of every image is drawn before its class, which takes minutes for many large images.
    seeds.flatMap((seed, i) => {
      checkStop(context);
      if (i % 1000 === 0) context.reporter.update(`finding the classes of ${seeds.length} images: ${i} done`);
      return drawnClasses([seed], shape, labelDim, device);
    });
}

/** A request with everything it names. */
interface Job {
  readonly request: NumberedGenerate;
  readonly snapshot: Snapshot;
  readonly conditions: GenerateOptions & { readonly method: Method };
  /** Where images are kept; undefined when only a grid or an animation is requested. */
  readonly output: ImageOutput | undefined;
  readonly frames: TrajectoryFrames | undefined;
  /** Notes to print before the first image. */
  readonly notes: readonly string[];
}

/** Draws batch by batch, and counts. */
class DrawingSession {
  readonly #context: JobContext;
  readonly #start: number;
  #evaluations = 0;
  #batches = 0;
  #done = 0;

  constructor(context: JobContext) {
    this.#context = context;
    this.#start = context.now();
  }

  /** Images, as bytes in the order C, H, W. @throws Stopped when the job is to stop. */
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
            checkStop(this.#context);
            this.#show(this.#done + seeds.length * report.progress, all);
          },
        }).images,
      ),
    );
    this.#batches++;
    this.#done += seeds.length;
    return drawn;
  }

  #show(done: number, all: number): void {
    const rate = done / this.seconds;
    const left = formatDuration((all - done) / rate);
    this.#context.reporter.update(`${Math.floor(done)} of ${all} images  ${rate.toFixed(1)} images/s  ${left} left`);
  }

  /** Number of images drawn. */
  get done(): number {
    return this.#done;
  }

  /** Seconds since the start. */
  get seconds(): number {
    return this.#context.now() - this.#start;
  }

  /** Network evaluations per image; undefined if none was drawn. */
  get evaluations(): number | undefined {
    return this.#batches === 0 ? undefined : this.#evaluations / this.#batches;
  }
}

/** Loads what the request names, and checks that it fits together. Undefined when all images exist already. */
async function prepare(given: ResolvedGenerate, context: JobContext): Promise<Job | undefined> {
  const { outdir, grid, trajectory } = given;
  const { rank } = context;
  const device = given.device === "cuda" && rank.size > 1 ? (`cuda:${rank.local}` as const) : given.device;
  checkDevice(device);
  const snapshot = loadSnapshot(given.network, { precision: given.precision, device });
  const { denoiser, config } = snapshot;
  const request: NumberedGenerate = { ...given, class: classNumber(given.class, snapshot) };
  const weak = loadWeak(request, snapshot);
  checkGuidance(request, snapshot, weak);
  checkColorize(request, config);
  const { preconditioning } = denoiser;
  const range = weak ? rangeWithin(preconditioning, weak.denoiser.preconditioning) : preconditioning;
  const method = samplingMethod(request, { ...preconditioning, ...range });
  const { notes, ...fromImage } = await givenImage(request, config.shape, denoiser.device);
  // Before hours of drawing, not after.
  if (trajectory !== null) await loadSharp();
  if (grid !== null) makeFolderFor(grid, "grid");
  if (trajectory !== null) makeFolderFor(trajectory, "trajectory");
  const contents = { shape: config.shape, classesOf: classesOf(request, snapshot, context) };
  const output = outdir === null ? undefined : await ImageOutput.open(request, outdir, contents, context);
  if (outdir !== null && !output) {
    denoiser.dispose();
    return undefined;
  }
  const frames = trajectory === null ? undefined : new TrajectoryFrames(method.steps.process, config.shape);
  const conditions = {
    method,
    guidance: { weight: request.guidance, by: weak?.denoiser },
    ...fromImage,
    onStep: frames && ((report: StepReport) => frames.add(report)),
  };
  return { request, snapshot, conditions, output, frames, notes: [...request.notes, ...notes] };
}

/** The request, in one line. */
function description({ request, snapshot, conditions: { method } }: Job): string {
  const { config, denoiser } = snapshot;
  const { steps, sigma } = method;
  const sampler = samplerOf(request);
  const levels = steps.times.filter((t) => t > 0).map(steps.process.sigma);
  const count = sampler === "rk45" ? "" : `, ${levels.length} steps`;
  return (
    `drawing ${request.seeds.length} ${request.seeds.length === 1 ? "image" : "images"} of ${formatImageShape(config.shape)} with ${sampler}${count}, noise levels ` +
    `${formatLevel(sigma)} to ${formatLevel(levels.at(-1) as number)}, ${denoiser.precision}` +
    (request.class === null ? "" : `, class ${classTitle(request.class, namesIn(snapshot))}`)
  );
}

/**
 * Draws the missing images of this process, and waits for the other processes.
 *
 * @returns images that are not kept anywhere else, by seed
 * @throws Stopped when the job is to stop.
 */
async function drawMissing(job: Job, session: DrawingSession, context: JobContext): Promise<Map<number, Uint8Array>> {
  const { request, output, frames } = job;
  const { seeds, batch: largest } = request;
  const { rank, reporter } = context;
  const wanted = (batch: readonly number[]): readonly number[] => {
    // An animation needs every image from the first step.
    if (!output || frames) return batch;
    const missing = output.images.missing(batch);
    return missing.length > 0 && isCoupled(request) ? batch : missing;
  };
  const batches = batchesOf(seeds, largest, rank)
    .map(wanted)
    .filter(({ length }) => length > 0);
  const count = batches.reduce((sum, { length }) => sum + length, 0);
  const present = rank.size === 1 ? seeds.length - count : 0;
  if (present > 0) reporter.print(`${present} of them ${present === 1 ? "exists" : "exist"} already`);
  const kept = new Map<number, Uint8Array>();
  for (const batch of batches) {
    for (const [i, image] of session.draw(job, batch, count).entries()) {
      const seed = batch[i] as number;
      if (output) output.images.write(seed, image);
      else kept.set(seed, image);
    }
    reporter.printPlain(`${session.done} of ${count} images${rank.size > 1 ? " of the first process" : ""}`);
  }
  if (output && rank.size > 1 && rank.rank === 0) {
    let isSaid = false;
    await output.waitForAll(context, (missing) => {
      const line = `waiting for ${missing} images of other processes`;
      reporter.update(line);
      if (!isSaid) reporter.printPlain(line);
      isSaid = true;
    });
  }
  return kept;
}

/** Rows of a grid whose classes are listed. */
const MOST_ROWS = 16;

/** The classes of a grid, row by row. */
function legend(classes: readonly number[], columns: number, names: readonly string[] | undefined): string {
  const titles = classes.map((label) => names?.[label] ?? String(label));
  const rows = Array.from({ length: Math.ceil(titles.length / columns) }, (_, row) =>
    titles.slice(row * columns, (row + 1) * columns).join(" "),
  );
  const rest = rows.length > MOST_ROWS ? ` and ${rows.length - MOST_ROWS} more rows` : "";
  return `classes in the grid, row by row: ${rows.slice(0, MOST_ROWS).join(", ")}${rest}`;
}

/** Writes the outputs made from all images together. Returns those that are not at the requested path; undefined if all are. */
async function deliver(
  { request, snapshot, output, frames }: Job,
  kept: Map<number, Uint8Array>,
  context: JobContext,
): Promise<string | undefined> {
  const problems: (string | undefined)[] = [];
  const { seeds, grid, trajectory } = request;
  const { config } = snapshot;
  if (grid !== null) {
    const images = seeds.map((seed) => kept.get(seed) ?? (output?.images.read(seed) as Uint8Array));
    const columns = Math.ceil(Math.sqrt(images.length));
    problems.push((await writeOrRescue(grid, (path) => writeGrid(path, images, config.shape, columns))).problem);
    const classes = request.class === null ? classesOf(request, snapshot, context) : undefined;
    if (classes) context.reporter.print(legend(classes(seeds), columns, namesIn(snapshot)));
  }
  if (frames && trajectory !== null) {
    const written = await writeOrRescue(trajectory, (path) => writeAnimation(path, frames.frames, frames.shape));
    problems.push(written.problem);
  }
  await output?.finish();
  return problems.find((problem) => problem !== undefined);
}

/** The error for images that are not finite, with the likely cause. */
function notFinite(request: ResolvedGenerate, cause: SamplingError): InputError {
  const extreme = extremeOptions(request);
  const advice =
    extreme.length > 0
      ? `lower ${extreme.join(", ")}`
      : `${request.network} may come from a training that diverged: use an earlier network snapshot`;
  return new InputError(`the images are not finite: they hold NaN or infinity; ${advice}`, { cause });
}

/** The result of drawing. */
export interface GenerateResult {
  /** "stopped" when `context.shouldStop` ended it; the same request draws the remaining images. */
  readonly reason: "finished" | "stopped";
  /** Number of images that this process has drawn. */
  readonly drawn: number;
  /** Network evaluations per image; undefined if none was drawn. */
  readonly evaluations: number | undefined;
  /** Seconds of drawing. */
  readonly seconds: number;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/**
 * Draws images, one per seed, into `outdir` (a folder, a zip or an npz file), a `grid` or a `trajectory`. An interrupted set is
 * completed by the same request; several processes can draw one set together.
 *
 *     await generate({ network: "network-snapshot-000200.safetensors", seeds: [0, 1, 2], grid: "grid.png" });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used or written.
 */
export async function generate(request: GenerateRequest, context: JobContext = jobContext()): Promise<GenerateResult> {
  const { rank, reporter } = context;
  const options = generateOptions(request, rank.size);
  const session = new DrawingSession(context);
  const result = (reason: GenerateResult["reason"]): GenerateResult => {
    const { done, evaluations, seconds } = session;
    return { reason, drawn: done, evaluations, seconds };
  };
  let job: Job | undefined;
  try {
    job = await withinMemory(
      () => "use a smaller network",
      () => prepare(options, context),
    );
    if (!job) return result("finished");
    for (const line of [
      description(job),
      ...[...job.notes, ...lossNotes(job.snapshot)].map((note) => `note: ${note}`),
    ]) {
      reporter.print(line);
    }
    const drawing = job;
    const kept = await withinMemory(
      () => `lower 'batch' (it is ${options.batch})`,
      () => drawMissing(drawing, session, context),
    );
    const problem = rank.rank === 0 ? await deliver(job, kept, context) : undefined;
    return { ...result("finished"), ...(problem !== undefined && { problem }) };
  } catch (error) {
    if (error instanceof Stopped) return result("stopped");
    if (error instanceof SamplingError) throw notFinite(options, error);
    if (!job || !isFileProblem(error) || options.outdir === null) throw error;
    throw new InputError(
      `an image cannot be written to ${options.outdir}: ${problemOf(error)}; fix that, and the same command draws the rest`,
      { cause: error },
    );
  } finally {
    job?.snapshot.denoiser.dispose();
  }
}

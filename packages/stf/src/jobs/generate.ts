/** Drawing images as a job: from a request to a folder, an archive, a grid or an animation. */

import { imagesOf } from "../codecs/planes.js";
import { InputError } from "../common/errors.js";
import { isFileProblem, problemOf } from "../common/folders.js";
import { extremeOptions } from "../config/generate-options.js";
import { type GenerateRequest, generateOptions, type ResolvedGenerate } from "../config/generate-request.js";
import { SamplingError } from "../sampling/generate.js";
import { type JobContext, jobContext, Stopped } from "./context.js";
import { batchesOfRank, DrawingTally, drawBatches } from "./draw-batches.js";
import { type Drawing, describeDrawing, openDrawing } from "./drawing.js";
import { drawingProtocol, isCoupled } from "./drawing-protocol.js";
import { gatherBytes } from "./gathered.js";
import { finishFiles, type GeneratedFiles, openFiles } from "./generated-files.js";
import type { ImageOutput } from "./image-output.js";
import { withinMemory } from "./memory.js";
import { checkSame, checkSameRequest } from "./same-work.js";
import { latestSnapshot } from "./snapshots.js";
import type { Team } from "./team.js";

/** The batches of this process that have missing images, without the images that exist. */
function missingBatches({ request }: Drawing, { output, frames }: GeneratedFiles, { rank }: JobContext): number[][] {
  const wanted = (batch: number[]): number[] => {
    // An animation needs every image from the first step.
    if (!output || frames) return batch;
    const missing = output.images.missing(batch);
    return missing.length > 0 && isCoupled(request) ? batch : missing;
  };
  return batchesOfRank(request.seeds, request.batch, rank)
    .map(wanted)
    .filter(({ length }) => length > 0);
}

/**
 * Waits for the images of other processes.
 *
 * @throws Stopped when the job is to stop; InputError when connected processes are ready and their images are not there
 */
async function waitForOthers(output: ImageOutput, context: JobContext): Promise<void> {
  const { reporter, team } = context;
  if (team) {
    team.meet();
    if (team.rank === 0) output.checkAll();
    return;
  }
  if (context.rank.rank > 0) return;
  let isSaid = false;
  await output.waitForAll(context, (missing) => {
    const line = `waiting for ${missing} images of other processes`;
    reporter.update(line);
    if (!isSaid) reporter.printPlain(line);
    isSaid = true;
  });
}

/** The images of all processes, by seed. */
function gatherImages(own: ReadonlyMap<number, Uint8Array>, team: Team): Map<number, Uint8Array> {
  const seeds = team.gather([...own.keys()]).flat();
  const images = gatherBytes([...own.values()], team);
  return new Map(seeds.map((seed, i) => [seed, images[i] as Uint8Array]));
}

/**
 * Draws the missing images of this process, and waits for the other processes.
 *
 * @returns images that are not kept anywhere else, by seed
 * @throws Stopped when the job is to stop.
 */
async function drawMissing(
  drawing: Drawing,
  files: GeneratedFiles,
  tally: DrawingTally,
  context: JobContext,
): Promise<Map<number, Uint8Array>> {
  const { rank, reporter, team } = context;
  const { output, frames } = files;
  const batches = missingBatches(drawing, files, context);
  const count = batches.reduce((sum, { length }) => sum + length, 0);
  const present = rank.size === 1 ? drawing.request.seeds.length - count : 0;
  if (present > 0) reporter.print(`${present} of them ${present === 1 ? "exists" : "exist"} already`);
  const kept = new Map<number, Uint8Array>();
  for (const { seeds, images } of drawBatches(drawing, batches, context, tally, (report) => frames?.add(report))) {
    for (const [i, image] of imagesOf(images).entries()) {
      const seed = seeds[i] as number;
      if (output) output.images.write(seed, image);
      else kept.set(seed, image);
    }
    reporter.printPlain(`${tally.images} of ${count} images${rank.size > 1 ? " of the first process" : ""}`);
  }
  if (!output && team) return gatherImages(kept, team);
  if (output && rank.size > 1) await waitForOthers(output, context);
  return kept;
}

/** @throws UsageError in all processes, when they are to draw different images */
async function checkSameDrawing(request: GenerateRequest, options: ResolvedGenerate, team: Team): Promise<void> {
  checkSameRequest(request, team, ["network", "gnet", "image", "mask", "outdir", "grid", "trajectory"]);
  const places = [options.outdir, options.grid, options.trajectory].map((path) => path !== null);
  const files = {
    network: latestSnapshot(options.network).path,
    gnet: options.gnet === null ? null : latestSnapshot(options.gnet).path,
  };
  const { subject, method } = await drawingProtocol({ ...options, ...files }, team.size);
  checkSame("networks, images and outputs", JSON.stringify([places, subject["network_sha256"], method]), team);
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
  /** Evaluations of the analytic denoiser per image, in place of the network; undefined if none was drawn. */
  readonly analyticEvaluations: number | undefined;
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
  const { rank, reporter, team } = context;
  const options = generateOptions(request, team ? 1 : rank.size);
  if (team) await checkSameDrawing(request, options, team);
  const tally = new DrawingTally(context.now);
  const result = (reason: GenerateResult["reason"]): GenerateResult => {
    const { images, evaluationsPerImage, analyticPerImage, seconds } = tally;
    return {
      ...{ reason, drawn: images, seconds },
      ...{ evaluations: evaluationsPerImage, analyticEvaluations: analyticPerImage },
    };
  };
  const drawing = await withinMemory(
    () => "use a smaller network",
    () => openDrawing(options, rank),
  );
  let isOpen = false;
  try {
    const files = await openFiles(drawing, context);
    if (!files) return result("finished");
    isOpen = true;
    reporter.print(describeDrawing(drawing));
    for (const note of drawing.notes) reporter.print(`note: ${note}`);
    const kept = await withinMemory(
      () => `lower 'batch' (it is ${options.batch})`,
      () => drawMissing(drawing, files, tally, context),
    );
    if (files.frames && team) files.frames.gather(team);
    const problem = rank.rank === 0 ? await finishFiles(drawing, files, kept, context) : undefined;
    return { ...result("finished"), ...(problem !== undefined && { problem }) };
  } catch (error) {
    if (error instanceof Stopped) {
      // The others would wait for this process.
      team?.stop();
      return result("stopped");
    }
    if (error instanceof SamplingError) throw notFinite(options, error);
    if (!isOpen || !isFileProblem(error) || options.outdir === null) throw error;
    throw new InputError(
      `an image cannot be written to ${options.outdir}: ${problemOf(error)}; fix that, and the same command draws the rest`,
      { cause: error },
    );
  } finally {
    drawing.dispose();
  }
}

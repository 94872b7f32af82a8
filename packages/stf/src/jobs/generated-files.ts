/** The files of a request to draw images: the images themselves, a grid, and an animation. */

import { writeAnimation } from "../codecs/animation.js";
import { writeGrid } from "../codecs/grid.js";
import { loadSharp } from "../codecs/sharp.js";
import { makeFolderFor } from "../common/folders.js";
import { drawnClasses } from "../sampling/noise.js";
import { checkStop, type JobContext } from "./context.js";
import type { Drawing } from "./drawing.js";
import { type ImageContents, ImageOutput } from "./image-output.js";
import { classLegend, classNamesOf } from "./network-classes.js";
import { writeOrRescue } from "./rescue.js";
import { TrajectoryFrames } from "./trajectory.js";

/** Where images go. */
export interface GeneratedFiles {
  /** Where images are kept; undefined when only a grid or an animation is requested. */
  readonly output: ImageOutput | undefined;
  readonly frames: TrajectoryFrames | undefined;
}

/** The class of each seed's image, drawn or requested; undefined when the network has no classes. */
function classesOf({ request, snapshot }: Drawing, context: JobContext): ImageContents["classesOf"] {
  const { shape, labelDim, device } = snapshot.denoiser;
  const { class: label } = request;
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

/**
 * Makes the folders of a request, so that a mistake shows before hours of drawing.
 *
 * @returns undefined when all images exist already
 * @throws InputError when a folder cannot be made, or holds other images; Stopped when the job is to stop.
 */
export async function openFiles(drawing: Drawing, context: JobContext): Promise<GeneratedFiles | undefined> {
  const { request, snapshot, conditions } = drawing;
  const { outdir, grid, trajectory } = request;
  const { shape } = snapshot.config;
  if (trajectory !== null) await loadSharp();
  const { team, rank } = context;
  const isWriter = !team || rank.rank === 0;
  if (grid !== null && isWriter) makeFolderFor(grid, "grid");
  if (trajectory !== null && isWriter) makeFolderFor(trajectory, "trajectory");
  const contents = { shape, classesOf: classesOf(drawing, context), classNames: classNamesOf(snapshot) };
  if (outdir !== null && team && rank.rank > 0 && !team.gather(true)[0]) return undefined;
  const output = outdir === null ? undefined : await ImageOutput.open(request, outdir, contents, context);
  if (outdir !== null && team && rank.rank === 0) team.gather(output !== undefined);
  if (outdir !== null && !output) return undefined;
  const frames = trajectory === null ? undefined : new TrajectoryFrames(conditions.method.steps.process, shape);
  return { output, frames };
}

/**
 * Writes the files made from all images together.
 *
 * @param kept - images that are not in the output, by seed
 * @returns what could not be written to its path, in one line; undefined if all was
 */
export async function finishFiles(
  drawing: Drawing,
  { output, frames }: GeneratedFiles,
  kept: ReadonlyMap<number, Uint8Array>,
  context: JobContext,
): Promise<string | undefined> {
  const problems: (string | undefined)[] = [];
  const { request, snapshot } = drawing;
  const { seeds, grid, trajectory } = request;
  if (grid !== null) {
    const images = seeds.map((seed) => kept.get(seed) ?? (output?.images.read(seed) as Uint8Array));
    const columns = Math.ceil(Math.sqrt(images.length));
    problems.push(
      (await writeOrRescue(grid, (path) => writeGrid(path, images, snapshot.config.shape, columns))).problem,
    );
    const classes = request.class === null ? classesOf(drawing, context) : undefined;
    if (classes) context.reporter.print(classLegend(classes(seeds), columns, classNamesOf(snapshot)));
  }
  if (frames && trajectory !== null) {
    const written = await writeOrRescue(trajectory, (path) => writeAnimation(path, frames.frames, frames.shape));
    problems.push(written.problem);
  }
  await output?.finish();
  return problems.find((problem) => problem !== undefined);
}

/** The output of a set of drawn images, kept so that an interrupted set can be completed and is never mixed with another. */

import { existsSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { writeFileAtomically } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { makeFolder, removePartialFiles } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";
import { formatIntegers } from "../common/text.js";
import type { ResolvedGenerate } from "../config/generate-request.js";
import { LABEL_FILE } from "../data/labels.js";
import { writeArchive } from "../images/archive.js";
import { ImageSet } from "../images/image-set.js";
import { GENERATE_OPTIONS_FILE } from "../run/files.js";
import type { Protocol } from "../run/protocol.js";
import { checkStop, type JobContext } from "./context.js";
import { drawingDifference, drawingProtocol, readDrawingProtocol } from "./drawing-protocol.js";

const POLL_MILLISECONDS = 200;
/** In this time a machine sees what another one has written to a folder that both share. */
const VISIBLE_SECONDS = 60;

/** Whether a destination is one file, not a folder. */
const isArchive = (path: string): boolean => /\.(zip|npz)$/i.test(path);

/**
 * The protocol of a folder's images; undefined for a folder without images.
 *
 * @throws InputError when it is damaged or missing
 */
function protocolIn(images: ImageSet, outdir: string, advice: string): Protocol | undefined {
  const path = join(images.folder, GENERATE_OPTIONS_FILE);
  if (!existsSync(path)) {
    const held = images.hasImages ? "images" : images.hasLabels ? `a ${LABEL_FILE}` : undefined;
    if (held === undefined) return undefined;
    throw new InputError(
      `${outdir} holds ${held} but no ${GENERATE_OPTIONS_FILE}, which records how images were drawn; ${advice}`,
    );
  }
  const found = (() => {
    try {
      return readDrawingProtocol(JSON.parse(readFileSync(path, "utf8")));
    } catch (cause) {
      throw new InputError(`${path} is damaged; ${advice}`, { cause });
    }
  })();
  if (!found) throw new InputError(`${path} is damaged; ${advice}`);
  return found;
}

/** @throws InputError when the images in the folder were drawn with other options. */
function checkProtocol(images: ImageSet, protocol: Protocol, outdir: string): void {
  const advice = `choose another 'outdir', or remove ${images.folder}`;
  const found = protocolIn(images, outdir, advice);
  const difference = found && drawingDifference(found, protocol);
  if (!difference) return;
  const { name, there, here } = difference;
  throw new InputError(
    `${outdir} holds images that were drawn with other options (${name}: ${JSON.stringify(there) ?? "none"} there, ${JSON.stringify(here) ?? "none"} here); ${advice}`,
  );
}

/** The shape of the images. */
export interface ImageContents {
  readonly shape: ImageShape;
  /** The class of each seed's image, if images have classes. @throws Stopped when the job is to stop. */
  readonly classesOf: ((seeds: readonly number[]) => number[]) | undefined;
  /** Names of the classes by number, if they have names. */
  readonly classNames: readonly string[] | undefined;
}

/** The images of a request, on disk. */
export class ImageOutput {
  readonly images: ImageSet;
  readonly #outdir: string;
  readonly #seeds: readonly number[];
  readonly #contents: ImageContents;

  private constructor(images: ImageSet, outdir: string, seeds: readonly number[], contents: ImageContents) {
    this.images = images;
    this.#outdir = outdir;
    this.#seeds = seeds;
    this.#contents = contents;
  }

  /**
   * Makes the folder, or finds the one of an interrupted set, and writes its labels: those of all images requested or
   * present, so that they are complete whenever the set is interrupted. Of several processes the first does this; the others wait.
   *
   * @returns undefined when the set is complete already, through other processes or one that was killed while cleaning up;
   * of connected processes, in all of them
   * @throws InputError when the folder cannot be made, or holds other images; Stopped when the job is to stop.
   */
  static async open(
    request: ResolvedGenerate,
    outdir: string,
    contents: ImageContents,
    context: JobContext,
  ): Promise<ImageOutput | undefined> {
    const { rank, size } = context.rank;
    const isFinished = (): boolean => isArchive(outdir) && existsSync(outdir);
    const folder = isArchive(outdir) ? `${outdir}.parts` : outdir;
    const images = new ImageSet(folder, contents.shape, request.subdirs);
    const protocol = await drawingProtocol(request, size);
    const path = join(folder, GENERATE_OPTIONS_FILE);
    // The images of an archive must be known even when some of its parts have been removed.
    const kept = { ...protocol, ...(isArchive(outdir) && { seeds: formatIntegers(request.seeds) }) };
    const text = `${JSON.stringify(kept, undefined, 2)}\n`;
    if (rank === 0 && isFinished()) {
      // Killed between renaming the archive and removing its parts.
      if (existsSync(path) && readFileSync(path, "utf8") === text) {
        images.remove(request.seeds);
        return undefined;
      }
      throw new InputError(`${outdir} exists already; choose another 'outdir', or remove it`);
    }
    if (rank === 0) {
      makeFolder(folder);
      checkProtocol(images, protocol, outdir);
      if (size === 1) removePartialFiles(folder);
      if (isArchive(outdir)) removePartialFiles(dirname(outdir), basename(outdir));
      writeFileAtomically(path, new TextEncoder().encode(text));
      if (contents.classesOf && !isArchive(outdir)) {
        const seeds = [...new Set([...images.present(), ...request.seeds])].sort((a, b) => a - b);
        images.writeLabels(seeds, contents.classesOf(seeds), contents.classNames);
      }
    } else {
      if (isFinished()) return undefined;
      const start = context.now();
      while (!existsSync(path)) {
        if (isFinished()) return undefined;
        checkStop(context);
        if (context.team && context.now() - start > VISIBLE_SECONDS) {
          throw new InputError(
            `${outdir} must be a folder that all processes see; rank ${rank} does not find there what rank 0 has written`,
          );
        }
        await setTimeout(POLL_MILLISECONDS);
      }
      checkProtocol(images, protocol, outdir);
    }
    return new ImageOutput(images, outdir, request.seeds, contents);
  }

  /** Waits for the images that other processes draw. @throws Stopped when the job is to stop. */
  async waitForAll(context: JobContext, onWait: (missing: number) => void): Promise<void> {
    const { images } = this;
    for (let missing = images.missing(this.#seeds); missing.length > 0; missing = images.missing(missing)) {
      checkStop(context);
      onWait(missing.length);
      await setTimeout(POLL_MILLISECONDS);
    }
  }

  /** @throws InputError when an image is missing although all processes have drawn theirs */
  checkAll(): void {
    const { length } = this.images.missing(this.#seeds);
    if (length === 0) return;
    throw new InputError(
      `${this.#outdir} must be a folder that all processes see; ${length} images of other processes are not there`,
    );
  }

  /**
   * Packs the images if a single file was requested. All must have been drawn.
   *
   * @throws Stopped when the job is to stop.
   */
  async finish(): Promise<void> {
    if (!isArchive(this.#outdir)) return;
    const { shape, classesOf, classNames } = this.#contents;
    await writeArchive(this.#outdir, {
      images: this.images,
      shape,
      seeds: this.#seeds,
      classes: classesOf?.(this.#seeds),
      classNames,
      record: readFileSync(join(this.images.folder, GENERATE_OPTIONS_FILE)),
    });
    this.images.remove(this.#seeds);
  }
}

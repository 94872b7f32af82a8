/** Where `stf generate` puts a set of images, so that an interrupted set can be completed and never mixed with another one. */

import { createHash } from "node:crypto";
import { createReadStream, existsSync, readFileSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { writeAll, writeFileAtomically } from "@stf/torch";
import type { ImageShape } from "../data/bank.js";
import { writeArchive } from "../images/archive.js";
import { ImageSet } from "../images/image-set.js";
import { InputError } from "../run/errors.js";
import { makeFolder } from "../run/folder.js";
import { GENERATE_OPTIONS_FILE } from "../run/format.js";
import type { GenerateRequest } from "./generate-command.js";

/** Whether a destination is one file, not a folder. */
const isArchive = (path: string): boolean => /\.(zip|npz)$/i.test(path);

/** The options that decide what an image looks like. */
function protocolOf(request: GenerateRequest, digests: Readonly<Record<string, string>>): Record<string, unknown> {
  const { outdir, grid, trajectory, seeds, batch, device, notes, rank, solver, subdirs, ...options } = request;
  return { ...options, sampler: solver ?? options.sampler, ...digests };
}

/** Identifies files by their content. */
async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

/** @throws InputError when the images of the folder were drawn in another way. */
function checkProtocol(images: ImageSet, protocol: Record<string, unknown>, outdir: string): void {
  const path = join(images.folder, GENERATE_OPTIONS_FILE);
  const advice = `choose another --outdir, or remove ${images.folder}`;
  if (!existsSync(path)) {
    if (!images.hasImages) return;
    throw new InputError(
      `${outdir} holds images, and no ${GENERATE_OPTIONS_FILE} that says how they were drawn; ${advice}`,
    );
  }
  const found = (() => {
    try {
      return JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
    } catch (cause) {
      throw new InputError(`${path} is damaged; ${advice}`, { cause });
    }
  })();
  const names = [...new Set([...Object.keys(found), ...Object.keys(protocol)])];
  const differs = (name: string): boolean => JSON.stringify(found[name]) !== JSON.stringify(protocol[name]);
  // A file may have moved: what is in it counts.
  const other = names.find((name) => !(`${name}_sha256` in protocol) && differs(name));
  if (other === undefined) return;
  throw new InputError(
    `${outdir} holds images that were drawn with other options (${other}: ${JSON.stringify(found[other]) ?? "none"} there, ${JSON.stringify(protocol[other]) ?? "none"} here); ${advice}`,
  );
}

/** The images of a request, on the disk. */
export class ImageOutput {
  readonly images: ImageSet;
  readonly #outdir: string;
  readonly #shape: ImageShape;
  readonly #seeds: readonly number[];

  private constructor(images: ImageSet, outdir: string, shape: ImageShape, seeds: readonly number[]) {
    this.images = images;
    this.#outdir = outdir;
    this.#shape = shape;
    this.#seeds = seeds;
  }

  /**
   * Makes the folder, or finds the one of an interrupted set.
   *
   * @throws InputError when it cannot be made, or holds other images.
   */
  static async open(request: GenerateRequest, outdir: string, shape: ImageShape): Promise<ImageOutput> {
    const archived = isArchive(outdir);
    if (archived && existsSync(outdir)) {
      throw new InputError(`${outdir} is there already; choose another --outdir, or remove it`);
    }
    const folder = archived ? `${outdir}.parts` : outdir;
    const images = new ImageSet(folder, shape, request.subdirs);
    const files = { network: request.network, gnet: request.gnet, image: request.image, mask: request.mask };
    const digests: Record<string, string> = {};
    for (const [name, path] of Object.entries(files)) {
      if (path !== null) digests[`${name}_sha256`] = await digestOf(path);
    }
    const protocol = protocolOf(request, digests);
    makeFolder(folder);
    checkProtocol(images, protocol, outdir);
    const text = new TextEncoder().encode(`${JSON.stringify(protocol, undefined, 2)}\n`);
    writeFileAtomically(join(folder, GENERATE_OPTIONS_FILE), (descriptor) => writeAll(descriptor, text));
    return new ImageOutput(images, outdir, shape, request.seeds);
  }

  /**
   * Packs the images where one file is wanted. All must have been drawn.
   *
   * @param classes - tells the class of each image
   */
  async finish(classes: (() => number[]) | undefined): Promise<void> {
    if (!isArchive(this.#outdir)) return;
    makeFolder(dirname(this.#outdir));
    await writeArchive(this.#outdir, {
      images: this.images,
      shape: this.#shape,
      seeds: this.#seeds,
      classes: classes?.(),
    });
    rmSync(this.images.folder, { recursive: true });
  }
}

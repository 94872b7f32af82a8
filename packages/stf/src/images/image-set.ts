/** Images that are drawn one per seed into a folder, and what has become of them. */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { isWholePng, readPng, writePng } from "../codecs/png.js";
import { makeFolder } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";

/** The PNG files of a set of seeds. */
export class ImageSet {
  readonly folder: string;
  readonly #shape: ImageShape;
  readonly #subdirs: boolean;

  /** @param subdirs - whether there is a folder for every thousand seeds */
  constructor(folder: string, shape: ImageShape, subdirs: boolean) {
    this.folder = folder;
    this.#shape = shape;
    this.#subdirs = subdirs;
  }

  /** The file of a seed, below the folder: "000123.png", or "000000/000123.png". */
  nameOf(seed: number): string {
    const name = `${String(seed).padStart(6, "0")}.png`;
    return this.#subdirs ? `${String(seed - (seed % 1000)).padStart(6, "0")}/${name}` : name;
  }

  #pathOf(seed: number): string {
    return join(this.folder, this.nameOf(seed));
  }

  /** Whether any image lies in the folder. */
  get hasImages(): boolean {
    if (!existsSync(this.folder)) return false;
    return readdirSync(this.folder, { recursive: true, encoding: "utf8" }).some((name) => name.endsWith(".png"));
  }

  /** The seeds whose images are not there yet, or were damaged: files appear complete, but a disk may lose what it promised. */
  missing(seeds: readonly number[]): number[] {
    return seeds.filter((seed) => !isWholePng(this.#pathOf(seed), this.#shape));
  }

  /** Removes the images of seeds, and the folder, unless it holds others. */
  remove(seeds: readonly number[]): void {
    for (const seed of seeds) rmSync(this.#pathOf(seed), { force: true });
    if (!this.hasImages) rmSync(this.folder, { recursive: true, force: true });
  }

  /** Writes the image of a seed, bytes in the order C, H, W. */
  write(seed: number, planes: Uint8Array): void {
    const path = this.#pathOf(seed);
    if (this.#subdirs) makeFolder(dirname(path));
    writePng(path, planes, this.#shape);
  }

  /** The image of a seed, bytes in the order C, H, W. @throws InputError when it is damaged or of another shape. */
  read(seed: number): Uint8Array {
    return readPng(this.#pathOf(seed), this.#shape);
  }
}

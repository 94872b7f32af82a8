/** Images drawn one per seed into a folder, and which of them exist. */

import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join, normalize } from "node:path";
import { writeFileAtomically } from "@stf/torch";
import { isWholePng, readPng, writePng } from "../codecs/png.js";
import { makeFolder } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";
import { formatLabels, LABEL_FILE } from "../data/labels.js";

/** The PNG files of a set of seeds, and their labels. */
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

  /** The PNG files in the folder, by their paths below it. */
  #names(): string[] {
    if (!existsSync(this.folder)) return [];
    return readdirSync(this.folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".png"));
  }

  /** Whether the folder has any image. */
  get hasImages(): boolean {
    return this.#names().length > 0;
  }

  /** Whether the folder has a label file. */
  get hasLabels(): boolean {
    return existsSync(join(this.folder, LABEL_FILE));
  }

  /** The seeds with a file in the folder, complete or not. */
  present(): number[] {
    return this.#names().flatMap((path) => {
      const seed = Number.parseInt(basename(path), 10);
      return normalize(this.nameOf(seed)) === path ? [seed] : [];
    });
  }

  /** Each image's name and class, as label files have them. */
  labels(seeds: readonly number[], classes: readonly number[]): [string, number][] {
    return seeds.map((seed, i) => [this.nameOf(seed), classes[i] as number]);
  }

  /** Writes the label file of the folder, replacing an earlier one. */
  writeLabels(seeds: readonly number[], classes: readonly number[], classNames?: readonly string[]): void {
    const text = formatLabels(this.labels(seeds, classes), classNames);
    writeFileAtomically(join(this.folder, LABEL_FILE), new TextEncoder().encode(text));
  }

  /** The seeds whose images are missing or damaged: files appear complete, but a disk may lose data after a crash. */
  missing(seeds: readonly number[]): number[] {
    return seeds.filter((seed) => !isWholePng(this.#pathOf(seed), this.#shape));
  }

  /** Removes the images of seeds, and the folder if it is then empty. */
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

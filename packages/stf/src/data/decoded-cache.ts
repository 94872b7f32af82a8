/** Decoded images in a folder, so that a set that has not changed need not be decoded again. */

import { createHash } from "node:crypto";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { empty, loadSafetensors, saveSafetensors, scope, type Tensor } from "@stf/torch";
import { isFileProblem, makeFolders, problemOf } from "../common/folders.js";
import type { ImageShape } from "../common/image-shape.js";
import type { FileSource } from "./file-source.js";

/** What was read from the files of a set. */
export interface DecodedImages {
  readonly shape: ImageShape;
  /** uint8 `[count, D]` */
  readonly pixels: Tensor;
  /** Notes on the files, one line each. */
  readonly notes: readonly string[];
}

/** Changes with what decoding gives. */
const VERSION = 1;
/** Bytes of one file, which are in memory twice while it is read. */
const PART_BYTES = 2 ** 28;
const TENSOR = "pixels";

/**
 * Identifies the files of a set by their names, their order, and what each source knows of their content: SHA-256.
 *
 * @returns undefined when the source knows nothing of it
 */
function keyOf({ identityOf }: FileSource, paths: readonly string[]): string | undefined {
  if (!identityOf) return undefined;
  const hash = createHash("sha256").update(`${VERSION}`);
  for (const path of paths) hash.update(`\n${JSON.stringify([path, identityOf(path)])}`);
  return hash.digest("hex");
}

/** The place of one set in a cache folder. */
export class CacheEntry {
  readonly #parent: string;
  readonly #folder: string;

  private constructor(parent: string, key: string) {
    this.#parent = parent;
    this.#folder = join(parent, key);
  }

  /** @returns undefined when the files cannot be recognised */
  static of(folder: string, source: FileSource, paths: readonly string[]): CacheEntry | undefined {
    const key = keyOf(source, paths);
    return key === undefined ? undefined : new CacheEntry(join(folder, "images"), key);
  }

  static #part(folder: string, number: number): string {
    return join(folder, `${String(number).padStart(4, "0")}.safetensors`);
  }

  /** What is stored; undefined when nothing is, or it is damaged. Every file has a checksum, which is compared. */
  read(count: number): DecodedImages | undefined {
    let pixels: Tensor | undefined;
    let about: Omit<DecodedImages, "pixels"> | undefined;
    try {
      for (let row = 0, part = 0; row < count; part++) {
        const { tensors, metadata } = loadSafetensors(CacheEntry.#part(this.#folder, part));
        using rows = tensors.get(TENSOR) as Tensor;
        about ??= JSON.parse(metadata["about"] as string) as Omit<DecodedImages, "pixels">;
        pixels ??= empty([count, rows.size(1)], { dtype: "uint8" });
        const all = pixels;
        scope(() => void all.narrow(0, row, rows.size(0)).copy_(rows));
        row += rows.size(0);
      }
      return about && pixels && { ...about, pixels };
    } catch {
      // Missing, damaged or of another program: the images are decoded, and written again.
      pixels?.dispose();
      return undefined;
    }
  }

  #write(folder: string, { shape, pixels, notes }: DecodedImages): void {
    const [count = 0, dimension = 1] = pixels.shape;
    const rows = Math.max(1, Math.floor(PART_BYTES / dimension));
    for (let row = 0, part = 0; row < count; row += rows, part++) {
      scope(() => {
        const tensors = new Map([[TENSOR, pixels.narrow(0, row, Math.min(rows, count - row)).contiguous()]]);
        saveSafetensors(CacheEntry.#part(folder, part), tensors, { about: JSON.stringify({ shape, notes }) });
      });
    }
  }

  /** Stores images, which appear complete or not at all. A file system that refuses them is only noted. */
  write(images: DecodedImages, onNote?: (line: string) => void): void {
    const temporary = `${this.#folder}.${process.pid}.partial`;
    try {
      makeFolders(this.#parent);
      mkdirSync(temporary);
      try {
        this.#write(temporary, images);
        rmSync(this.#folder, { recursive: true, force: true });
        renameSync(temporary, this.#folder);
      } finally {
        rmSync(temporary, { recursive: true, force: true });
      }
    } catch (error) {
      if (!isFileProblem(error)) throw error;
      // Another process may have stored the same images meanwhile.
      const isStored = (error as NodeJS.ErrnoException).code === "ENOTEMPTY";
      if (!isStored) onNote?.(`the decoded images cannot be kept in ${this.#parent}: ${problemOf(error)}`);
    }
  }
}

/** Pairs of images that differ only in compression, size, brightness or contrast, found by their thumbnails. */

import { empty, scope, type Tensor, tensor } from "@stf/torch";
import type { Picture } from "../codecs/lanczos.js";

/** Side of a thumbnail. */
const SIDE = 16;
/** Values of a thumbnail: three channels. */
const VALUES = 3 * SIDE * SIDE;
/** Thumbnails compared at a time: a block of that many squared correlations is held as float32. */
const AT_ONCE = 2048;
/** The least correlation of near duplicates. */
export const LEAST_CORRELATION = 0.995;
/** Thumbnails with a smaller standard deviation, in grey levels, are of plain surfaces, which are all alike. */
const LEAST_CONTRAST = 2;

/** Two images. */
export interface NearPair {
  /** Index of one image. */
  readonly first: number;
  /** Index of the other, which is higher. */
  readonly second: number;
  /** Correlation of their thumbnails, at most 1. */
  readonly correlation: number;
}

/** The part of one side of an image that a cell covers: its first pixel, and the share of each pixel in the cell. */
interface Cell {
  readonly start: number;
  readonly shares: readonly number[];
}

/** The cells along a side, which divide it evenly. */
function cellsOf(length: number): readonly Cell[] {
  return Array.from({ length: SIDE }, (_, cell) => {
    const [from, to] = [(cell * length) / SIDE, ((cell + 1) * length) / SIDE];
    const start = Math.floor(from);
    const shares = Array.from({ length: Math.ceil(to) - start }, (_, i) => {
      const covered = Math.min(start + i + 1, to) - Math.max(start + i, from);
      return covered / (to - from);
    });
    return { start, shares };
  });
}

/** Mean colours of 16x16 cells that cover an image, in the order H, W, C; of grey images in three equal channels. */
function thumbnail({ pixels, width, height, channels }: Picture): Float64Array {
  const columns = cellsOf(width);
  const stride = width * channels;
  const row = new Float64Array(stride);
  const thumb = new Float64Array(VALUES);
  cellsOf(height).forEach(({ start, shares }, y) => {
    row.fill(0);
    shares.forEach((share, i) => {
      const from = (start + i) * stride;
      for (let x = 0; x < stride; x++) row[x] = (row[x] as number) + share * (pixels[from + x] as number);
    });
    columns.forEach((cell, x) => {
      for (let c = 0; c < 3; c++) {
        const own = cell.start * channels + Math.min(c, channels - 1);
        const mean = cell.shares.reduce((sum, share, i) => sum + share * (row[own + i * channels] as number), 0);
        thumb[(y * SIDE + x) * 3 + c] = mean;
      }
    });
  });
  return thumb;
}

/** The thumbnails of up to N images, as unit vectors. */
export class Thumbnails {
  readonly #vectors: Tensor;
  /** The image of each row. */
  readonly #images: number[] = [];

  /** @param count - number of images */
  constructor(count: number) {
    this.#vectors = empty([count, VALUES]);
  }

  /** Adds an image; those without contrast are left out. */
  add(index: number, picture: Picture): void {
    const cells = thumbnail(picture);
    const mean = cells.reduce((sum, value) => sum + value, 0) / VALUES;
    const norm = Math.sqrt(cells.reduce((sum, value) => sum + (value - mean) ** 2, 0));
    if (norm < LEAST_CONTRAST * Math.sqrt(VALUES)) return;
    const unit = Float32Array.from(cells, (value) => (value - mean) / norm);
    scope(() => this.#vectors.narrow(0, this.#images.length, 1).copy_(tensor(unit).view([1, VALUES])));
    this.#images.push(index);
  }

  /**
   * All pairs whose thumbnails have a correlation (Pearson's, over all cells and channels) of at least {@link LEAST_CORRELATION},
   * in the order of the first image. The cost is N² / 2 products of 768 values.
   *
   * @param onProgress - called with the number of images done so far and their total
   */
  pairs(onProgress?: (done: number, total: number) => void): NearPair[] {
    const pairs: NearPair[] = [];
    const count = this.#images.length;
    for (let first = 0; first < count; first += AT_ONCE) {
      const length = Math.min(AT_ONCE, count - first);
      scope(() => {
        const rows = this.#vectors.narrow(0, first, length);
        for (let other = first; other < count; other += AT_ONCE) {
          const width = Math.min(AT_ONCE, count - other);
          scope(() => {
            const products = rows.matmul(this.#vectors.narrow(0, other, width).t());
            const found = products.ge(LEAST_CORRELATION).nonzero().toFloat64Array();
            for (let i = 0; i < found.length; i += 2) {
              const [row, column] = [found[i] as number, found[i + 1] as number];
              if (other + column <= first + row) continue;
              const correlation = products.narrow(0, row, 1).narrow(1, column, 1).item();
              const [one, two] = [this.#images[first + row], this.#images[other + column]] as [number, number];
              pairs.push({ first: Math.min(one, two), second: Math.max(one, two), correlation });
            }
          });
        }
      });
      onProgress?.(first + length, count);
    }
    return pairs.sort((a, b) => a.first - b.first || a.second - b.second);
  }

  /** Frees the thumbnails. */
  dispose(): void {
    this.#vectors.dispose();
  }
}

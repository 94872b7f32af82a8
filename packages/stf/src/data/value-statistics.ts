import type { Picture } from "../codecs/lanczos.js";

/** Moments of the pixel values of many images, each image with the same weight, whatever its size. */
export interface ValueStatistics {
  /** Mean of each channel, 0 to 255. */
  readonly mean: readonly number[];
  /** Standard deviation of each channel over all images and pixels, in grey levels. */
  readonly contrast: readonly number[];
  /**
   * Standard deviation of all network values x = byte / 127.5 - 1 about their common mean, over images, channels and pixels:
   * sigma_data of Karras et al. (2022), who assume 0.5.
   */
  readonly sigmaData: number;
}

const GREY_LEVELS_PER_VALUE = 127.5;

/** Accumulates the statistics of images with one or three channels; grey images count as RGB once there is a coloured one. */
export class ValueMoments {
  #channels = 1;
  #images = 0;
  /** Sums over images of the means of bytes and of their squares, per channel. */
  #sums = [0, 0, 0];
  #squares = [0, 0, 0];

  /** Adds an image. */
  add({ pixels, channels }: Picture): void {
    this.#channels = Math.max(this.#channels, channels);
    this.#images++;
    const area = pixels.length / channels;
    for (let c = 0; c < 3; c++) {
      let sum = 0;
      let square = 0;
      for (let i = Math.min(c, channels - 1); i < pixels.length; i += channels) {
        const value = pixels[i] as number;
        sum += value;
        square += value * value;
      }
      this.#sums[c] = (this.#sums[c] as number) + sum / area;
      this.#squares[c] = (this.#squares[c] as number) + square / area;
    }
  }

  /** The statistics of the images added so far; undefined without images. */
  get statistics(): ValueStatistics | undefined {
    if (this.#images === 0) return undefined;
    const [sums, squares] = [this.#sums, this.#squares].map((values) =>
      values.slice(0, this.#channels).map((value) => value / this.#images),
    ) as [number[], number[]];
    const spread = (mean: number, square: number): number => Math.sqrt(Math.max(0, square - mean ** 2));
    const average = (values: readonly number[]): number =>
      values.reduce((total, value) => total + value, 0) / values.length;
    return {
      mean: sums,
      contrast: sums.map((mean, c) => spread(mean, squares[c] as number)),
      sigmaData: spread(average(sums), average(squares)) / GREY_LEVELS_PER_VALUE,
    };
  }
}

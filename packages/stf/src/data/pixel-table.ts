import { empty, scope, type Tensor, tensor } from "@stf/torch";
import type { DecodedImage } from "../codecs/decode.js";
import type { Planes } from "../codecs/quick-decode.js";
import type { ImageShape } from "../common/image-shape.js";

/** Consecutive rows with as many channels. */
function runs(images: ReadonlyMap<number, Planes | undefined>): { first: number; images: Planes[] }[] {
  const found: { first: number; images: Planes[] }[] = [];
  for (const [row, image] of images) {
    if (!image) continue;
    const last = found.at(-1);
    const isNext = last && row === last.first + last.images.length && image.channels === last.images[0]?.channels;
    if (isNext) last.images.push(image);
    else found.push({ first: row, images: [image] });
  }
  return found;
}

/**
 * The pixels of a data set being read. It starts with one channel, and has three from the first coloured image on.
 * The rows live in one tensor from the start, so that a set needs its memory once, and may be larger than a JavaScript array.
 */
export class PixelTable {
  readonly #count: number;
  readonly #area: number;
  readonly #height: number;
  readonly #width: number;
  #channels: 1 | 3 = 1;
  #pixels: Tensor;

  constructor(count: number, height: number, width: number) {
    this.#count = count;
    this.#height = height;
    this.#width = width;
    this.#area = height * width;
    this.#pixels = empty([count, this.#area], { dtype: "uint8" });
  }

  get shape(): ImageShape {
    return { channels: this.#channels, height: this.#height, width: this.#width };
  }

  /** uint8 `[count, D]`, in the order C, H, W. */
  get pixels(): Tensor {
    return this.#pixels;
  }

  /** Writes the image of one row. */
  write(row: number, { bytes, channels }: DecodedImage, grey: boolean): void {
    if (!grey && this.#channels === 1) this.#turnToColour();
    scope(() => {
      const values = tensor(bytes, { shape: [this.#area, channels] });
      const planes = values.narrow(1, 0, grey ? 1 : 3).t();
      this.#pixels.narrow(0, row, 1).view([this.#channels, this.#area]).copy_(planes);
    });
  }

  /** Writes images of consecutive or other rows; those that are undefined keep their rows as they are. */
  writePlanes(images: ReadonlyMap<number, Planes | undefined>): void {
    for (const { first, images: run } of runs(images)) this.#writeRun(first, run);
  }

  /** Writes images of as many channels to consecutive rows. */
  #writeRun(first: number, images: readonly Planes[]): void {
    const channels = images[0]?.channels ?? 1;
    if (channels > this.#channels) this.#turnToColour();
    scope(() => {
      const bytes = Buffer.concat(images.map((image) => image.bytes));
      const values = tensor(bytes, { shape: [images.length, channels, this.#area] });
      // Grey values are repeated in a table of colours.
      const rows = this.#pixels.narrow(0, first, images.length);
      rows.view([images.length, this.#channels, this.#area]).copy_(values);
    });
  }

  #turnToColour(): void {
    const grey = this.#pixels;
    this.#pixels = empty([this.#count, 3 * this.#area], { dtype: "uint8" });
    scope(() => {
      const planes = grey.view([this.#count, 1, this.#area]);
      this.#pixels.view([this.#count, 3, this.#area]).copy_(planes);
    });
    grey.dispose();
    this.#channels = 3;
  }

  dispose(): void {
    this.#pixels.dispose();
  }
}

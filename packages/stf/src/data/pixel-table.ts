import { empty, scope, type Tensor, tensor } from "@stf/torch";
import type { DecodedImage } from "../codecs/decode.js";
import type { ImageShape } from "../common/image-shape.js";

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

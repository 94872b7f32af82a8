/** The data set, resident as bytes: what batches, references and evaluation read by index. */

import { checkShape, type Device, elementCount, keep, scope, type Tensor, tensor } from "@stf/torch";

/** Channels, height and width. */
export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** References are turned into floats a slice at a time, so that their number does not decide the memory. */
const ROWS_AT_ONCE = 4096;

/** Images of one shape, one byte per value, with optional class labels. */
export class ImageBank {
  readonly name: string;
  readonly shape: ImageShape;
  /** Number of images. */
  readonly count: number;
  /** uint8 `[count, D]` with D = channels * height * width, in the order C, H, W. */
  readonly pixels: Tensor;
  /** Class of each image, or undefined. */
  readonly labels: Int32Array | undefined;
  #squaredNorms: Tensor | undefined;

  /** @param pixels - uint8 `[count, D]`; the bank owns it from now on */
  constructor(name: string, shape: ImageShape, pixels: Tensor, labels?: Int32Array) {
    const [count = 0] = pixels.shape;
    checkShape("the pixels of an image bank", pixels.shape, [null, elementCount(Object.values(shape))]);
    this.name = name;
    this.shape = shape;
    this.count = count;
    this.pixels = keep(pixels);
    this.labels = labels;
  }

  /** A bank over bytes in memory, image after image. */
  static fromBytes(
    name: string,
    shape: ImageShape,
    bytes: Uint8Array,
    { labels, device = "cpu" }: { labels?: Int32Array; device?: Device } = {},
  ): ImageBank {
    const size = elementCount([shape.channels, shape.height, shape.width]);
    const pixels = tensor(bytes, { shape: [bytes.length / size, size], device });
    return new ImageBank(name, shape, pixels, labels);
  }

  /** Number of values in one image. */
  get dimension(): number {
    return elementCount([this.shape.channels, this.shape.height, this.shape.width]);
  }

  get device(): Device {
    return this.pixels.device;
  }

  /** The images of the given indices as bytes, `[indices.length, D]`. */
  gather(indices: Int32Array): Tensor {
    return scope(() => this.pixels.indexSelect(0, tensor(indices, { device: this.device })));
  }

  /** ||u - 128||² of every image, float64 `[count]`: whole numbers, exactly. Computed once. */
  get squaredNorms(): Tensor {
    this.#squaredNorms ??= keep(
      scope(() => {
        const norms = tensor(new Float64Array(this.count), { device: this.device });
        for (let first = 0; first < this.count; first += ROWS_AT_ONCE) {
          const rows = Math.min(ROWS_AT_ONCE, this.count - first);
          scope(() => {
            const centred = this.pixels.narrow(0, first, rows).to({ dtype: "float64" }).sub_(128);
            norms.narrow(0, first, rows).copy_(centred.square_().sum(1));
          });
        }
        return norms;
      }),
    );
    return this.#squaredNorms;
  }

  dispose(): void {
    this.pixels.dispose();
    this.#squaredNorms?.dispose();
  }
}

/** Bytes to the range that networks see: u / 127.5 - 1, float32. */
export function normalize(pixels: Tensor): Tensor {
  return scope(() => pixels.to({ dtype: "float32" }).div(127.5).sub_(1));
}

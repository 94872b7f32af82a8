/** Images, resident as bytes. */

import { checkShape, type Device, elementCount, keep, scope, type Tensor, tensor, zeros } from "@stf/torch";
import type { Bank, ImageShape } from "./bank.js";

/** Bytes in a distance of 1: networks see byte / 127.5 - 1. */
const UNIT = 127.5;
/** Rows in own units are bytes minus this, which keeps products small. */
const CENTRE = 128;
/** Products of centred bytes are at most 2^14, so float32 counts sums of this many without error. */
const EXACT_COLUMNS = 1024;

/** References are turned into floats a slice at a time, so that their number does not decide the memory. */
const ROWS_AT_ONCE = 4096;

/** Images of one shape, one byte per value, with optional class labels. */
export class ImageBank implements Bank {
  /** What the data set is called. */
  readonly name: string;
  /** Of one image. */
  readonly shape: ImageShape;
  /** Number of images. */
  readonly count: number;
  /** uint8 `[count, D]` with D = channels * height * width, in the order C, H, W. */
  readonly pixels: Tensor;
  /** Class of each image, or undefined. */
  readonly labels: Int32Array | undefined;
  #squaredNorms: Tensor | undefined;

  /**
   * @param pixels - uint8 `[count, D]`; the bank owns it from now on
   * @param labels - class of each image, from 0 on, `[count]`
   * @throws ShapeError when the pixels do not have the width of such images.
   */
  constructor(name: string, shape: ImageShape, pixels: Tensor, labels?: Int32Array) {
    const [count = 0] = pixels.shape;
    checkShape("the pixels of an image bank", pixels.shape, [null, elementCount(Object.values(shape))]);
    this.name = name;
    this.shape = shape;
    this.count = count;
    this.pixels = keep(pixels);
    this.labels = labels;
  }

  /**
   * A bank with a copy of bytes in memory, image after image, each in the order C, H, W.
   *
   * @throws TorchError when they are no whole number of images.
   */
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

  readonly unit = UNIT;

  /** Number of values in one image. */
  get dimension(): number {
    return elementCount([this.shape.channels, this.shape.height, this.shape.width]);
  }

  /** Where the pixels lie. */
  get device(): Device {
    return this.pixels.device;
  }

  /** The same images on another device. The new bank holds a copy; this one may be disposed. */
  to(device: Device): ImageBank {
    return new ImageBank(this.name, this.shape, this.pixels.to({ device, copy: true }), this.labels);
  }

  /** The images of the given indices as bytes, uint8 `[indices.length, D]`. */
  gather(indices: Int32Array): Tensor {
    return scope(() => this.pixels.indexSelect(0, tensor(indices, { device: this.device })));
  }

  /** The images of the given indices as centred bytes, byte - 128, float32 `[indices.length, D]`. */
  rows(indices: Int32Array): Tensor {
    return scope(() => centred(this.gather(indices)));
  }

  /** Images `first` to `first + length - 1` as centred bytes, float32 `[length, D]`. */
  rowRange(first: number, length: number): Tensor {
    return scope(() => centred(this.pixels.narrow(0, first, length)));
  }

  /**
   * Inner products of rows, float64 `[left rows, right rows]`. Summed over so few columns at a time that float32 counts
   * the products of whole numbers without error.
   */
  products(left: Tensor, right: Tensor): Tensor {
    return scope(() => {
      const products = zeros([left.size(0), right.size(0)], { dtype: "float64", device: left.device });
      for (let first = 0; first < this.dimension; first += EXACT_COLUMNS) {
        const width = Math.min(EXACT_COLUMNS, this.dimension - first);
        // Converted first: adding one dtype to another is several times slower.
        scope(
          () =>
            void products.add_(
              left
                .narrow(1, first, width)
                .mm(right.narrow(1, first, width).t())
                .double(),
            ),
        );
      }
      return products;
    });
  }

  toValues(rows: Tensor): Tensor {
    return scope(() => normalize(rows.add(CENTRE)));
  }

  /** ||byte - 128||² of every image, float64 `[count]`: whole numbers, exactly. Computed once. */
  get squaredNorms(): Tensor {
    this.#squaredNorms ??= keep(
      scope(() => {
        const norms = tensor(new Float64Array(this.count), { device: this.device });
        for (let first = 0; first < this.count; first += ROWS_AT_ONCE) {
          const rows = Math.min(ROWS_AT_ONCE, this.count - first);
          scope(() => {
            const centred = this.pixels.narrow(0, first, rows).to({ dtype: "float64" }).sub_(CENTRE);
            norms.narrow(0, first, rows).copy_(centred.square_().sum(1));
          });
        }
        return norms;
      }),
    );
    return this.#squaredNorms;
  }

  /** Frees the pixels and what was computed from them. */
  dispose(): void {
    this.pixels.dispose();
    this.#squaredNorms?.dispose();
  }
}

function centred(pixels: Tensor): Tensor {
  return scope(() => pixels.to({ dtype: "float32" }).sub_(CENTRE));
}

/** Bytes to the range that networks see, [-1, 1]: byte / 127.5 - 1, float32, of the same shape. */
export function normalize(pixels: Tensor): Tensor {
  return scope(() => pixels.to({ dtype: "float32" }).div(UNIT).sub_(1));
}

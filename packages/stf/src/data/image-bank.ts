/** Images in memory, as bytes. */

import { checkShape, type Device, elementCount, keep, scope, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import type { Bank } from "./bank.js";

/** Grey levels per unit of network input, which is byte / 127.5 - 1. */
const UNIT = 127.5;

/** Class information of images. */
export interface Classes {
  /** Class of each image, from 0 on, `[count]`. */
  readonly labels?: Int32Array | undefined;
  /** Names of the classes, by number. */
  readonly classNames?: readonly string[] | undefined;
  /** If there are no labels, where they were searched, as part of a sentence. */
  readonly unlabelled?: string | undefined;
}

/** Images of one shape, one byte per value, with optional class labels. */
export class ImageBank implements Bank {
  /** Name of the data set. */
  readonly name: string;
  /** Shape of one image. */
  readonly shape: ImageShape;
  /** Number of images. */
  readonly count: number;
  /** uint8 `[count, D]` with D = channels * height * width, in the order C, H, W. */
  readonly pixels: Tensor;
  /** Class of each image, or undefined. */
  readonly labels: Int32Array | undefined;
  /** Names of the classes by number, or undefined. */
  readonly classNames: readonly string[] | undefined;
  /** If there are no labels, where they were searched, as part of a sentence. */
  readonly unlabelled: string | undefined;

  /**
   * @param pixels - uint8 `[count, D]`; the bank takes ownership
   * @param classes - labels, with or without class names
   * @throws ShapeError when the pixels do not match the shape.
   */
  constructor(name: string, shape: ImageShape, pixels: Tensor, classes: Int32Array | Classes = {}) {
    const [count = 0] = pixels.shape;
    checkShape("the pixels of an image bank", pixels.shape, [null, elementCount(Object.values(shape))]);
    this.name = name;
    this.shape = shape;
    this.count = count;
    this.pixels = keep(pixels);
    const { labels, classNames, unlabelled }: Classes = classes instanceof Int32Array ? { labels: classes } : classes;
    this.labels = labels;
    this.classNames = classNames;
    this.unlabelled = unlabelled;
  }

  /**
   * A bank with a copy of bytes in memory, image after image, each in the order C, H, W.
   *
   * @throws TorchError when they are not a whole number of images.
   */
  static fromBytes(
    name: string,
    shape: ImageShape,
    bytes: Uint8Array,
    { device = "cpu", ...classes }: Classes & { device?: Device } = {},
  ): ImageBank {
    const size = elementCount([shape.channels, shape.height, shape.width]);
    const pixels = tensor(bytes, { shape: [bytes.length / size, size], device });
    return new ImageBank(name, shape, pixels, classes);
  }

  readonly unit = UNIT;

  /** Number of values in one image. */
  get dimension(): number {
    return elementCount([this.shape.channels, this.shape.height, this.shape.width]);
  }

  /** Device of the pixels. */
  get device(): Device {
    return this.pixels.device;
  }

  /** The same images on another device. The new bank holds a copy; this one may be disposed of. */
  to(device: Device): ImageBank {
    return new ImageBank(this.name, this.shape, this.pixels.to({ device, copy: true }), this);
  }

  /** The images of the given indices as bytes, uint8 `[indices.length, D]`. */
  gather(indices: Int32Array): Tensor {
    return scope(() => this.pixels.indexSelect(0, tensor(indices, { device: this.device })));
  }

  /** The pixels: a bank's own units are bytes. */
  get rows(): Tensor {
    return this.pixels;
  }

  toValues(rows: Tensor): Tensor {
    return normalize(rows);
  }

  fromValues(values: Tensor): Tensor {
    return scope(() => values.double().add(1).mul_(UNIT));
  }

  /** Frees the pixels. */
  dispose(): void {
    this.pixels.dispose();
  }
}

/** What becomes of a bank by a change that copies it; the bank itself is disposed of. */
export function replaced(bank: ImageBank, change: (bank: ImageBank) => ImageBank): ImageBank {
  const changed = change(bank);
  bank.dispose();
  return changed;
}

/** A bank on a device. The given one is disposed of if it is on another. */
export const movedTo = (bank: ImageBank, device: Device): ImageBank =>
  bank.device === device ? bank : replaced(bank, (own) => own.to(device));

/** Bytes to network input values in [-1, 1]: byte / 127.5 - 1, float32, of the same shape. */
export function normalize(pixels: Tensor): Tensor {
  return scope(() => pixels.to({ dtype: "float32" }).div(UNIT).sub_(1));
}

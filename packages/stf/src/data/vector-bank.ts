import { checkShape, type Device, keep, scope, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import type { Bank } from "./bank.js";

/** Vectors of real numbers, for toy distributions: float64 throughout, so meant for few dimensions. */
export class VectorBank implements Bank {
  /** Name of the distribution. */
  readonly name: string;
  /** The image shape of a vector. */
  readonly shape: ImageShape;
  readonly count: number;
  readonly dimension: number;
  readonly labels: Int32Array | undefined;
  readonly unit = 1;
  /** float64 `[count, D]` */
  readonly values: Tensor;

  /**
   * @param values - float64 `[count, D]`; the bank takes ownership
   * @param options.labels - class of each vector, from 0 on, `[count]`
   * @param options.shape - shape of the images that the vectors represent; one pixel with D channels when left out
   * @throws ShapeError when the values do not have two axes.
   */
  constructor(name: string, values: Tensor, { labels, shape }: { labels?: Int32Array; shape?: ImageShape } = {}) {
    checkShape("the values of a vector bank", values.shape, [null, null]);
    this.name = name;
    this.count = values.size(0);
    this.dimension = values.size(1);
    this.shape = shape ?? { channels: this.dimension, height: 1, width: 1 };
    this.labels = labels;
    this.values = keep(values);
  }

  /** Device of the values. */
  get device(): Device {
    return this.values.device;
  }

  /** The values: a vector bank has no separate units. */
  get rows(): Tensor {
    return this.values;
  }

  gather(indices: Int32Array): Tensor {
    return scope(() => this.values.indexSelect(0, tensor(indices, { device: this.device })));
  }

  toValues(rows: Tensor): Tensor {
    return rows.float();
  }

  fromValues(values: Tensor): Tensor {
    return values.double();
  }

  /** Frees the values. */
  dispose(): void {
    this.values.dispose();
  }
}

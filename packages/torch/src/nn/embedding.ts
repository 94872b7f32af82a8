import { embedding, randn } from "../operators.generated.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/**
 * A table of vectors looked up by integer. Starts from standard normal values, as PyTorch's.
 *
 * Shapes: input int64 `[...]` with values in [0, count), output `[..., width]`; parameter `weight` `[count, width]`.
 */
export class Embedding extends Module {
  /** `[count, width]` */
  readonly weight: Tensor;

  /** A table of `count` vectors of `width` elements. */
  constructor(count: number, width: number) {
    super();
    this.weight = this.registerParameter("weight", randn([count, width]));
  }

  /**
   * int64 `[...]` to `[..., width]`.
   *
   * @throws TorchError when an index is outside the table.
   */
  forward(indices: Tensor): Tensor {
    return embedding(this.weight, indices);
  }
}

import { type Tensor, tensor } from "@stf/torch";

/**
 * A number for each item of a batch, to multiply the batch with: `[B, 1, ..., 1]`.
 *
 * @param values - B numbers
 * @param like - provides the number of axes, the dtype and the device
 */
export function column(values: ArrayLike<number>, like: Tensor): Tensor {
  const shape = [values.length, ...new Array<number>(like.rank - 1).fill(1)];
  return tensor(Float64Array.from(values), { shape, dtype: like.dtype, device: like.device });
}

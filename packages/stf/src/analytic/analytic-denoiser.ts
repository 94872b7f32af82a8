/**
 * Denoisers that are known in closed form: those of a distribution that approximates a data set, or of the data set itself.
 * They are posterior means D*(x; sigma) = E[y | x] for x = y + sigma eps, so by Tweedie's formula (Efron 2011) they belong
 * to a score and a density,
 *
 *     D*(x; sigma) = x + sigma² grad ln p(x; sigma).
 */

import { ShapeError, type Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";

/**
 * A distribution of images whose noisy versions are known in closed form at every noise level. `x` is `[B, C, H, W]` or
 * `[B, D]`, float32 or float64, on the device of the denoiser. `sigma` has a positive noise level for each of the B images.
 *
 * `classes` has a class for each image, for a denoiser that knows classes; a negative one, or one that it does not know, means
 * any class, as when they are left out. A denoiser without classes ignores them.
 */
export interface AnalyticDenoiser {
  /** Shape of the images; D = channels * height * width. */
  readonly shape: ImageShape;
  /**
   * The noise level at which it was fitted. Above it the closed forms are those of the data as well as the distribution
   * describes them. Below it they still hold for the distribution, but no longer for the data.
   */
  readonly sigmaFloor: number;
  /** What its numbers take in memory. A call takes about B D numbers more. */
  readonly bytes: number;
  /** The posterior mean D*(x; sigma) of the clean image, of the shape and dtype of `x`. */
  denoise(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor;
  /** grad_x ln p(x; sigma), of the shape and dtype of `x`. */
  score(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor;
  /** ln p(x; sigma), the log-density of the noisy image, in nats, float64 `[B]`. */
  logDensity(x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor;
  /** Frees what it holds. */
  dispose(): void;
}

/** Number of values in an image. */
export const dimensionOf = ({ channels, height, width }: ImageShape): number => channels * height * width;

/**
 * Noisy images as rows, `[B, D]`, after checking that the arguments of a denoiser fit.
 *
 * @throws ShapeError for images of another shape, or another number of noise levels or classes; RangeError for noise levels
 * that are not positive numbers
 */
export function rowsOf(shape: ImageShape, x: Tensor, sigma: Float64Array, classes?: Int32Array): Tensor {
  const { channels, height, width } = shape;
  const found = x.shape;
  const expected = found.length === 2 ? [dimensionOf(shape)] : [channels, height, width];
  if (found.length - 1 !== expected.length || expected.some((size, axis) => size !== found[axis + 1])) {
    throw new ShapeError(
      `noisy images must have shape [B, ${channels}, ${height}, ${width}] or [B, ${dimensionOf(shape)}], found [${found.join(", ")}]`,
    );
  }
  for (const [what, values] of [["noise levels", sigma] as const, ["classes", classes] as const]) {
    if (values !== undefined && values.length !== found[0]) {
      throw new ShapeError(`${found[0]} noisy images need as many ${what}, found ${values.length}`);
    }
  }
  const wrong = sigma.find((level) => !(level > 0 && level < Number.POSITIVE_INFINITY));
  if (wrong !== undefined) throw new RangeError(`noise levels must be positive numbers, found ${wrong}`);
  return x.flatten(1);
}

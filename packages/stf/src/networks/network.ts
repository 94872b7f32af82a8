import { type Device, type DType, type Module, type Part, type Recomputation, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { randomKey } from "../random/keyed.js";

/** Conditions of one forward pass beside the noise. */
export interface Conditions {
  /** One-hot or real-valued class labels, `[B, labelDim]`; absent means no class in particular. */
  labels?: Tensor | undefined;
  /** Augmentation labels, `[B, augmentDim]`; absent means unaugmented. */
  augmentLabels?: Tensor | undefined;
  /** Decides in training which activations are dropped; absent, the global random generator does. */
  dropout?: DropoutKeys | undefined;
  /**
   * Keeps only what goes from part to part; its `backward` must follow that of the output. In training with dropout it needs
   * `dropout`, for the masks of the second computation to be those of the first.
   */
  recomputation?: Recomputation | undefined;
}

/** Runs a part of a network, keeping what is computed on the way or not. */
export function runPart(recomputation: Recomputation | undefined, part: Part, ...inputs: Tensor[]): Tensor {
  return recomputation ? recomputation.run(part, ...inputs) : part(...inputs);
}

/** The dropout masks of consecutive samples: of each, they depend on the seed and the sample's own number alone. */
export class DropoutKeys {
  /** The number of the first sample. */
  readonly first: number;
  private readonly seed: number;

  constructor(seed: number, first: number) {
    this.seed = seed;
    this.first = first;
  }

  /** What decides, together with the samples' numbers, the masks of a layer. */
  keyOf(layer: number): bigint {
    return randomKey(this.seed, "dropout", layer);
  }
}

/** The raw network F inside a denoiser. */
export interface Network extends Module {
  /** Of the images that it takes. */
  readonly shape: ImageShape;
  /** Number of classes; 0 for an unconditional network. */
  readonly labelDim: number;
  /**
   * The raw output F, `[B, C', H, W]`, in the dtype of `x`.
   *
   * @param x - scaled noisy images, `[B, C, H, W]`, in the dtype of the activations
   * @param noiseLabels - the noise level as the preconditioning tells it, `[B]`, float32 or float64
   */
  forward(x: Tensor, noiseLabels: Tensor, conditions?: Conditions): Tensor;
}

/**
 * Classes as rows that are 1 in one place, `[B, labelDim]`: what a class-conditional network takes. A negative class gives a
 * row of zeros, no class in particular.
 *
 * @param like - gives the dtype and the device
 * @throws RangeError for a class of `labelDim` or above
 */
export function oneHot(
  classes: ArrayLike<number>,
  labelDim: number,
  { dtype, device }: { readonly dtype: DType; readonly device: Device },
): Tensor {
  const values = new Float64Array(classes.length * labelDim);
  for (let row = 0; row < classes.length; row++) {
    const label = classes[row] as number;
    if (label >= labelDim) throw new RangeError(`a class must be below ${labelDim}, found ${label}`);
    if (label >= 0) values[row * labelDim + label] = 1;
  }
  return tensor(values, { shape: [classes.length, labelDim], dtype, device });
}

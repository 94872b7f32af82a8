import { type Device, type DType, type Module, type Part, type Recomputation, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { randomKey } from "../random/keyed.js";

/** Conditions of one forward pass besides the noise level. */
export interface Conditions {
  /** One-hot or real-valued class labels, `[B, labelDim]`; absent means unconditional. */
  labels?: Tensor | undefined;
  /** Augmentation labels, `[B, augmentDim]`; absent means unaugmented. */
  augmentLabels?: Tensor | undefined;
  /** Determines the dropout masks in training; when absent, the global random generator does. */
  dropout?: DropoutKeys | undefined;
  /**
   * Keeps only the activations between parts; its `backward` must follow that of the output. In training with dropout it needs
   * `dropout`, so that the recomputation uses the same masks.
   */
  recomputation?: Recomputation | undefined;
}

/** Runs a part of a network, with or without keeping its intermediate activations. */
export function runPart(recomputation: Recomputation | undefined, part: Part, ...inputs: Tensor[]): Tensor {
  return recomputation ? recomputation.run(part, ...inputs) : part(...inputs);
}

/**
 * Frees activations that a part has used up, unless they are among the skips that others still use. A recomputation needs them again,
 * and so does autograd, which keeps its own.
 */
export function freeUsed(
  recomputation: Recomputation | undefined,
  skips: readonly Tensor[],
  ...used: (Tensor | undefined)[]
): void {
  if (recomputation) return;
  for (const tensor of used) if (tensor && !skips.includes(tensor)) tensor.dispose();
}

/** The dropout masks of consecutive samples: each depends only on the seed and the sample's own number. */
export class DropoutKeys {
  /** The number of the first sample. */
  readonly first: number;
  private readonly seed: number;

  constructor(seed: number, first: number) {
    this.seed = seed;
    this.first = first;
  }

  /** The key that, with the samples' numbers, determines the masks of a layer. */
  keyOf(layer: number): bigint {
    return randomKey(this.seed, "dropout", layer);
  }
}

/** The raw network F inside a denoiser. */
export interface Network extends Module {
  /** Shape of its images. */
  readonly shape: ImageShape;
  /** Number of classes; 0 for an unconditional network. */
  readonly labelDim: number;
  /**
   * The raw output F, `[B, C', H, W]`, in the dtype of `x`.
   *
   * @param x - scaled noisy images, `[B, C, H, W]`, in the dtype of the activations
   * @param noiseLabels - c_noise, the noise level as encoded by the preconditioning, `[B]`, float32 or float64
   */
  forward(x: Tensor, noiseLabels: Tensor, conditions?: Conditions): Tensor;
}

/**
 * One-hot rows, `[B, labelDim]`: the input of a class-conditional network. A negative class gives a
 * row of zeros, which means unconditional.
 *
 * @param like - provides the dtype and the device
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

import { type Device, type DType, Module, scope, type Tensor, tensor } from "@stf/torch";
import type { Coefficients, Preconditioning } from "./precondition.js";
import type { Conditions, SongUNet } from "./song-unet.js";

/** The dtype of activations; parameters, losses and targets are float32 in any case. */
export type Precision = "fp32" | "bf16";

const activationDtypes = { fp32: "float32", bf16: "bfloat16" } as const satisfies Record<Precision, DType>;

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

/**
 * The denoiser D(x; sigma): a network with its preconditioning. An estimate of the clean image behind x = y + sigma eps.
 *
 * Keys of the state dict start with `model.`, as in the published checkpoints.
 */
export class Denoiser extends Module {
  /** What turns the network into a denoiser. */
  readonly preconditioning: Preconditioning;
  /** The dtype of the network's activations; float64 images are computed in float64 in any case. */
  readonly precision: Precision;
  private readonly network: SongUNet;

  /** @param network - becomes a part, and is owned from now on */
  constructor(
    network: SongUNet,
    preconditioning: Preconditioning,
    { precision = "fp32" }: { precision?: Precision } = {},
  ) {
    super();
    this.network = this.registerModule("model", network);
    this.preconditioning = preconditioning;
    this.precision = precision;
  }

  /** Number of classes that the network tells apart; 0 for an unconditional one. */
  get labelDim(): number {
    return this.network.labelDim;
  }

  /**
   * D(x; sigma) = c_skip x + c_out F(c_in x; c_noise) (Karras et al. 2022, equation 7).
   *
   * @param x - unscaled noisy images, `[B, C, H, W]`, float32 or float64
   * @param sigma - noise level of each image, `[B]`, positive
   * @returns D, `[B, C, H, W]`, in the dtype of x
   */
  forward(x: Tensor, sigma: Float64Array, conditions: Conditions = {}): Tensor {
    return scope(() => {
      const { dtype, device } = x;
      const coefficients = Array.from(sigma, (level) => this.preconditioning.coefficients(level));
      const column = (name: keyof Coefficients): Tensor =>
        tensor(
          Float64Array.from(coefficients, (value) => value[name]),
          { shape: [sigma.length, 1, 1, 1], dtype, device },
        );
      const activations = dtype === "float64" ? dtype : activationDtypes[this.precision];
      const input = x.mul(column("in")).to({ dtype: activations, memoryFormat: "channelsLast" });
      const raw = this.network.forward(input, column("noise").flatten(), conditions);
      return x.mul(column("skip")).add_(raw.to({ dtype }).mul(column("out")));
    });
  }
}

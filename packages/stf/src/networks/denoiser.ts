import { allowTf32, type DType, Module, scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Coefficients, Preconditioning } from "../preconditioning/preconditioning.js";
import type { Precision } from "./architectures.js";
import type { Conditions, Network } from "./network.js";

const activationDtypes = {
  fp32: "float32",
  tf32: "float32",
  bf16: "bfloat16",
  fp16: "float16",
} as const satisfies Record<Precision, DType>;

/**
 * The denoiser D(x; sigma): a network with its preconditioning. An estimate of the clean image behind x = y + sigma eps.
 *
 * Keys of the state dict start with `model.`, as in the published checkpoints.
 */
export class Denoiser extends Module {
  /** Precision of the network's activations; float64 images are always processed in float64. */
  readonly precision: Precision;
  private readonly network: Network;
  private readonly initial: Preconditioning;
  private readonly levels: Tensor | undefined;
  /** With the levels of the state dict. Cached, because reading them from a GPU makes it wait. */
  private current: Preconditioning | undefined;

  /** @param network - becomes a submodule, which this one owns */
  constructor(
    network: Network,
    preconditioning: Preconditioning,
    { precision = "fp32" }: { precision?: Precision } = {},
  ) {
    super();
    this.network = this.registerModule("model", network);
    this.initial = preconditioning;
    this.precision = precision;
    const { levels } = preconditioning;
    this.levels = levels && this.registerBuffer("u", tensor(levels, { dtype: "float32" }));
  }

  /** Turns the network into a denoiser. One with discrete noise levels uses those in its state dict. */
  get preconditioning(): Preconditioning {
    const { initial, levels } = this;
    this.current ??= levels && initial.withLevels ? initial.withLevels(levels.toFloat64Array()) : initial;
    return this.current;
  }

  override loadStateDict(...given: Parameters<Module["loadStateDict"]>): void {
    super.loadStateDict(...given);
    this.current = undefined;
  }

  /** Shape of the images. */
  get shape(): ImageShape {
    return this.network.shape;
  }

  /** Number of classes; 0 for an unconditional network. */
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
      const { dtype } = x;
      const { preconditioning } = this;
      const coefficients = Array.from(sigma, (level) => preconditioning.coefficients(level));
      const all = (name: keyof Coefficients): Tensor =>
        column(
          coefficients.map((value) => value[name]),
          x,
        );
      // A global setting, which also applies to the backward pass of this evaluation.
      allowTf32(this.precision === "tf32");
      const activations = dtype === "float64" ? dtype : activationDtypes[this.precision];
      const input = x.mul(all("in")).to({ dtype: activations, memoryFormat: "channelsLast" });
      const output = this.network.forward(input, all("noise").flatten(), conditions);
      // Some networks estimate a variance in further channels, which is not used here.
      const raw = output.narrow(1, 0, x.size(1));
      return x.mul(all("skip")).add_(raw.to({ dtype }).mul(all("out")));
    });
  }
}

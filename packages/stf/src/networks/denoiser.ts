import { allowTf32, type DType, Module, scope, type Tensor, tensor } from "@stf/torch";
import { column } from "../column.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Coefficients, Preconditioning } from "../preconditioning/preconditioning.js";
import type { Precision } from "./architectures.js";
import type { Conditions, Network } from "./network.js";

const activationDtypes = { fp32: "float32", tf32: "float32", bf16: "bfloat16" } as const satisfies Record<
  Precision,
  DType
>;

/**
 * The denoiser D(x; sigma): a network with its preconditioning. An estimate of the clean image behind x = y + sigma eps.
 *
 * Keys of the state dict start with `model.`, as in the published checkpoints.
 */
export class Denoiser extends Module {
  /** What the network's activations are computed in; float64 images are computed in float64 in any case. */
  readonly precision: Precision;
  private readonly network: Network;
  private readonly initial: Preconditioning;
  private readonly levels: Tensor | undefined;
  /** With the levels of the state dict. Kept, because a GPU must wait for whoever reads them. */
  private current: Preconditioning | undefined;

  /** @param network - becomes a part, and is owned from now on */
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

  /** What turns the network into a denoiser. One that knows certain noise levels only knows those in its state dict. */
  get preconditioning(): Preconditioning {
    const { initial, levels } = this;
    this.current ??= levels && initial.withLevels ? initial.withLevels(levels.toFloat64Array()) : initial;
    return this.current;
  }

  override loadStateDict(...given: Parameters<Module["loadStateDict"]>): void {
    super.loadStateDict(...given);
    this.current = undefined;
  }

  /** Of the images. */
  get shape(): ImageShape {
    return this.network.shape;
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
      const { dtype } = x;
      const { preconditioning } = this;
      const coefficients = Array.from(sigma, (level) => preconditioning.coefficients(level));
      const all = (name: keyof Coefficients): Tensor =>
        column(
          coefficients.map((value) => value[name]),
          x,
        );
      // One setting of the process, which the backward pass of this evaluation finds as well.
      allowTf32(this.precision === "tf32");
      const activations = dtype === "float64" ? dtype : activationDtypes[this.precision];
      const input = x.mul(all("in")).to({ dtype: activations, memoryFormat: "channelsLast" });
      const output = this.network.forward(input, all("noise").flatten(), conditions);
      // Some networks estimate a variance in further channels, which nothing here asks for.
      const raw = output.narrow(1, 0, x.size(1));
      return x.mul(all("skip")).add_(raw.to({ dtype }).mul(all("out")));
    });
  }
}

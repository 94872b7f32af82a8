import { call, operator, wrap } from "../dispatch.js";
import type { Tensor } from "../tensor.js";
import { type Initializer, torchDefault } from "./init.js";
import { Module } from "./module.js";

/** From native/kernels/linear.cc: the stock operator, with sums in float32 on every processor. */
const LINEAR = operator("stf::linear");

/** Options of a {@link Linear}. */
export interface LinearOptions {
  /** Whether there is a bias. */
  bias?: boolean;
  /** Initial values of the weight. */
  init?: Initializer;
  /** Initial values of the bias; those of the weight when left out. */
  biasInit?: Initializer;
}

/**
 * y = x Wᵀ + b
 *
 * Shapes: input `[..., inFeatures]`, output `[..., outFeatures]`. Parameters `weight` `[outFeatures, inFeatures]` and
 * `bias` `[outFeatures]` are float32; an input of another dtype is computed in that dtype.
 */
export class Linear extends Module {
  /** W, `[outFeatures, inFeatures]` */
  readonly weight: Tensor;
  /** b, `[outFeatures]`, or null */
  readonly bias: Tensor | null;

  constructor(
    inFeatures: number,
    outFeatures: number,
    { bias = true, init = torchDefault, biasInit = init }: LinearOptions = {},
  ) {
    super();
    const fans = { fanIn: inFeatures, fanOut: outFeatures };
    this.weight = this.registerParameter("weight", init([outFeatures, inFeatures], fans));
    this.bias = bias ? this.registerParameter("bias", biasInit([outFeatures], fans)) : null;
  }

  /**
   * `[..., inFeatures]` to `[..., outFeatures]`.
   *
   * @throws TorchError when `x` has the wrong shape.
   */
  forward(x: Tensor): Tensor {
    return wrap(call(LINEAR, x.handle, this.weight.handle, this.bias?.handle));
  }
}

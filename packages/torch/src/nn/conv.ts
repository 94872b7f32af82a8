import { conv2d } from "../operators.generated.js";
import type { Tensor } from "../tensor.js";
import { likeInput } from "./cast.js";
import { type Initializer, torchDefault } from "./init.js";
import { Module } from "./module.js";

export interface Conv2dOptions {
  stride?: number;
  padding?: number;
  groups?: number;
  bias?: boolean;
  init?: Initializer;
  /** Initial values of the bias; those of the weight when left out. */
  biasInit?: Initializer;
}

/**
 * Two-dimensional convolution (cross-correlation, zero padding).
 *
 * Shapes: input `[B, inChannels, H, W]`, output `[B, outChannels, H', W']`. Parameters `weight`
 * `[outChannels, inChannels / groups, kernel, kernel]` and `bias` `[outChannels]` are float32; an input of another dtype
 * is computed in that dtype.
 */
export class Conv2d extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  private readonly stride: number;
  private readonly padding: number;
  private readonly groups: number;

  constructor(
    inChannels: number,
    outChannels: number,
    kernel: number,
    { stride = 1, padding = 0, groups = 1, bias = true, init = torchDefault, biasInit = init }: Conv2dOptions = {},
  ) {
    super();
    this.stride = stride;
    this.padding = padding;
    this.groups = groups;
    const area = kernel * kernel;
    const fans = { fanIn: (inChannels / groups) * area, fanOut: outChannels * area };
    this.weight = this.registerParameter("weight", init([outChannels, inChannels / groups, kernel, kernel], fans));
    this.bias = bias ? this.registerParameter("bias", biasInit([outChannels], fans)) : null;
  }

  forward(x: Tensor): Tensor {
    const { weight, bias, stride, padding, groups } = this;
    return conv2d(x, likeInput(weight, x), bias && likeInput(bias, x), stride, padding, 1, groups);
  }
}

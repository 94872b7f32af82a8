import { call, operator, wrap } from "../dispatch.js";
import type { Tensor } from "../tensor.js";
import { type Initializer, torchDefault } from "./init.js";
import { Module } from "./module.js";

/** From native/kernels/winograd.cc: Winograd's method where it is faster, stock operators elsewhere. */
const CONV3X3 = operator("stf::conv3x3");
/** From native/kernels/convolution.cc: stock operators, one node of the graph on GPUs. */
const CONV2D = operator("stf::conv2d");

/**
 * Convolution with a 3x3 kernel and zero padding, which keeps the size: `[B, inChannels, H, W]` to
 * `[B, outChannels, H, W]`, in the dtype of `x`. Large `channels_last` images on a CPU are convolved by Winograd's method,
 * F(4x4, 3x3) (Lavin and Gray 2016), in float32: several times faster, with a few times the rounding error of direct sums.
 *
 * @param weight - float32 `[outChannels, inChannels, 3, 3]`
 * @param bias - float32 `[outChannels]`, or null
 * @throws TorchError when `x` has the wrong shape.
 */
export function conv3x3(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return wrap(call(CONV3X3, x.handle, weight.handle, bias?.handle));
}

/** Options of a {@link Conv2d}. */
export interface Conv2dOptions {
  /** Pixels from one position of the kernel to the next. */
  stride?: number;
  /** Zeros on each side of both axes. */
  padding?: number;
  /** Groups of channels that do not interact; a divisor of both numbers of channels. */
  groups?: number;
  /** Whether there is a bias. */
  bias?: boolean;
  /** Initial values of the weight. */
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
  /** `[outChannels, inChannels / groups, kernel, kernel]` */
  readonly weight: Tensor;
  /** `[outChannels]`, or null */
  readonly bias: Tensor | null;
  private readonly stride: number;
  private readonly padding: number;
  private readonly groups: number;

  /** @param kernel - height and width of the kernel */
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

  /**
   * `[B, inChannels, H, W]` to `[B, outChannels, H', W']`.
   *
   * @param options.bias - null leaves out the bias, for a caller that adds it later
   * @throws TorchError when `x` has the wrong shape.
   */
  forward(x: Tensor, { bias = this.bias }: { bias?: Tensor | null } = {}): Tensor {
    const { weight, stride, padding, groups } = this;
    if (weight.size(2) === 3 && stride === 1 && padding === 1 && groups === 1) return conv3x3(x, weight, bias);
    return wrap(call(CONV2D, x.handle, weight.handle, bias?.handle, stride, padding, groups));
  }
}

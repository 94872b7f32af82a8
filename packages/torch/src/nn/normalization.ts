import { call, operator, wrap } from "../dispatch.js";
import { ones, zeros } from "../operators.generated.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** From native/kernels/group_norm.cc: a fast loop where there is one, stock operators elsewhere. */
const GROUP_NORM_SILU = operator("stf::group_norm_silu");

/** What a {@link GroupNorm} has besides its sizes. */
export interface GroupNormOptions {
  /** Added to the variance. */
  eps?: number;
  /** Whether SiLU, x sigmoid(x), follows in the same pass. */
  silu?: boolean;
}

/**
 * Group normalisation (Wu and He 2018): each group of channels of each sample to mean 0 and variance 1, then weight and
 * bias per channel, then SiLU where asked for.
 *
 * Shapes: input and output `[B, channels, ...]`; parameters `weight` and `bias` `[channels]`, float32.
 */
export class GroupNorm extends Module {
  /** `[channels]` */
  readonly weight: Tensor;
  /** `[channels]` */
  readonly bias: Tensor;
  /** Number of groups. */
  readonly groups: number;
  private readonly eps: number;
  private readonly silu: boolean;

  /** @throws RangeError when the channels do not divide into the groups. */
  constructor(groups: number, channels: number, { eps = 1e-5, silu = false }: GroupNormOptions = {}) {
    super();
    if (channels % groups !== 0) throw new RangeError(`${channels} channels do not divide into ${groups} groups`);
    this.groups = groups;
    this.eps = eps;
    this.silu = silu;
    this.weight = this.registerParameter("weight", ones([channels]));
    this.bias = this.registerParameter("bias", zeros([channels]));
  }

  /** `[B, channels, ...]`, normalised. */
  forward(x: Tensor): Tensor {
    const { groups, weight, bias, eps, silu } = this;
    return wrap(call(GROUP_NORM_SILU, x.handle, groups, weight.handle, bias.handle, eps, silu));
  }
}

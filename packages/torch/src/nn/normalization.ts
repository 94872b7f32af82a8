import { groupNorm, ones, zeros } from "../operators.generated.js";
import type { Tensor } from "../tensor.js";
import { likeInput } from "./cast.js";
import { Module } from "./module.js";

/**
 * Group normalisation: each group of channels of each sample to mean 0 and variance 1, then weight and bias per channel.
 *
 * Shapes: input and output `[B, channels, ...]`; parameters `weight` and `bias` `[channels]`.
 *
 * @throws RangeError when the channels do not divide into the groups.
 */
export class GroupNorm extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly groups: number;
  readonly eps: number;

  constructor(groups: number, channels: number, { eps = 1e-5 }: { eps?: number } = {}) {
    super();
    if (channels % groups !== 0) throw new RangeError(`${channels} channels do not divide into ${groups} groups`);
    this.groups = groups;
    this.eps = eps;
    this.weight = this.registerParameter("weight", ones([channels]));
    this.bias = this.registerParameter("bias", zeros([channels]));
  }

  forward(x: Tensor): Tensor {
    return groupNorm(x, this.groups, likeInput(this.weight, x), likeInput(this.bias, x), this.eps);
  }
}

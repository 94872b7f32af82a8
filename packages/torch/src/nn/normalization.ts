import { call, operator, wrap } from "../dispatch.js";
import { ones, zeros } from "../operators.generated.js";
import { scope } from "../scope.js";
import type { Tensor } from "../tensor.js";
import { Module } from "./module.js";

/** From native/kernels/group_norm.cc: a fast loop where it applies, stock operators elsewhere. */
const GROUP_NORM = operator("stf::group_norm");

/** Options of a {@link GroupNorm}. */
export interface GroupNormOptions {
  /** Added to the variance. */
  eps?: number;
  /** Whether SiLU, x sigmoid(x), follows in the same pass. */
  silu?: boolean;
}

/** Which activations are dropped. A sample's mask depends only on the key and the sample's number, on every device. */
export interface DropoutMask {
  /** Probability of dropping an activation, in [0, 1). The others are divided by 1 minus this probability. */
  readonly probability: number;
  /** Decides the mask, a whole number of at most 64 bits. Left out, the CPU's default generator draws one. */
  readonly key?: number | bigint;
  /** The number of the first sample, 0 when left out; the others follow. */
  readonly first?: number;
}

/** A change of normalised activations, per sample and channel. */
export interface Modulation {
  /** 1 less than the factor, `[B, channels]`. */
  readonly scale: Tensor;
  /** What is added afterwards, `[B, channels]`. */
  readonly offset: Tensor;
}

/** What {@link GroupNorm.forward} does in the same pass. */
export interface GroupNormExtras {
  /** Added to the input, `[B, channels]`. */
  readonly shift?: Tensor | undefined;
  /** Applied to the result, before the SiLU: times 1 + scale, plus offset. */
  readonly modulation?: Modulation | undefined;
  /** Applied last. */
  readonly dropout?: DropoutMask | undefined;
}

/**
 * Group normalisation (Wu and He 2018): each group of channels of each sample to mean 0 and variance 1, then weight and
 * bias per channel, then SiLU if requested.
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

  /**
   * `[B, channels, ...]`, normalised.
   *
   * @throws TorchError when `x` or an extra has the wrong shape.
   */
  forward(x: Tensor, { shift, modulation, dropout }: GroupNormExtras = {}): Tensor {
    const { groups, eps, silu } = this;
    const { probability = 0, key, first = 0 } = dropout ?? {};
    return scope(() => {
      const factor = modulation?.scale.add(1);
      const weight = factor ? this.weight.mul(factor) : this.weight;
      const bias = factor && modulation ? modulation.offset.addcmul(this.bias, factor) : this.bias;
      const seed = typeof key === "bigint" ? BigInt.asIntN(64, key) : key;
      const settings = [eps, silu, shift?.handle, probability, seed, first] as const;
      return wrap(call(GROUP_NORM, x.handle, groups, weight.handle, bias.handle, ...settings));
    });
  }
}

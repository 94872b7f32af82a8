/** Embeddings of the noise level. */

import { arange, cat, Module, randn, scope, type Tensor } from "@stf/torch";

/**
 * [cos(x f_i), sin(x f_i)] with frequencies falling geometrically from 1 to 1 / maxPositions (Vaswani et al. 2017).
 *
 * Shapes: input `[B]`, output `[B, channels]`.
 */
export class PositionalEmbedding extends Module {
  /** Width of the embedding, even. */
  readonly channels: number;
  /** Whether the last frequency is exactly 1 / maxPositions. */
  readonly endpoint: boolean;
  /** The ratio of the first frequency to the last, without `endpoint` to the one that would follow. */
  readonly maxPositions: number;

  /**
   * @param channels - width of the embedding, even
   * @param options.endpoint - whether the last frequency is exactly 1 / maxPositions
   */
  constructor(
    channels: number,
    { endpoint = false, maxPositions = 10_000 }: { endpoint?: boolean; maxPositions?: number } = {},
  ) {
    super();
    this.channels = channels;
    this.endpoint = endpoint;
    this.maxPositions = maxPositions;
  }

  /** `[B]` to `[B, channels]`. */
  forward(x: Tensor): Tensor {
    return scope(() => {
      const half = this.channels / 2;
      const { dtype, device } = x;
      const exponents = arange(0, half, 1, { dtype, device }).div_(half - (this.endpoint ? 1 : 0));
      const frequencies = exponents.mul_(-Math.log(this.maxPositions)).exp_();
      const angles = x.outer(frequencies);
      return cat([angles.cos(), angles.sin()], 1);
    });
  }
}

/**
 * [cos(2 pi f x), sin(2 pi f x)] with fixed random frequencies f ~ N(0, scale²)
 * (Tancik et al. 2020).
 *
 * Shapes: input `[B]`, output `[B, channels]`. Buffer: `freqs` `[channels / 2]`.
 */
export class FourierEmbedding extends Module {
  /** f, `[channels / 2]` */
  readonly frequencies: Tensor;

  /**
   * @param channels - width of the embedding, even
   * @param options.scale - standard deviation of the frequencies
   */
  constructor(channels: number, { scale = 16 }: { scale?: number } = {}) {
    super();
    this.frequencies = this.registerBuffer(
      "freqs",
      scope(() => randn([channels / 2]).mul_(scale)),
    );
  }

  /** `[B]` to `[B, channels]`. */
  forward(x: Tensor): Tensor {
    return scope(() => {
      const angles = x.outer(this.frequencies.to({ dtype: x.dtype }).mul(2 * Math.PI));
      return cat([angles.cos(), angles.sin()], 1);
    });
  }
}

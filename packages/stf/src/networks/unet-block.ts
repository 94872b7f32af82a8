/** The residual block of the score-based U-Nets (Karras et al. 2022, table 7), with optional self-attention. */

import {
  attention,
  type DropoutMask,
  GroupNorm,
  type GroupNormExtras,
  type Initializer,
  Linear,
  Module,
  scaledAdd_,
  scope,
  type Tensor,
} from "@stf/torch";
import { groupsFor } from "./channels.js";
import type { DropoutKeys } from "./network.js";
import { Resample, type Resampling, ResamplingConv2d } from "./resample.js";

/** The configuration of all U-Nets. Options left out have their published values. */
export interface UNetOptions {
  /** Height and width of the images; halved once per level after the first. */
  readonly resolution: number;
  /** Channels of the input. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  /** Number of classes; 0 for an unconditional network. */
  readonly labelDim?: number;
  /** Width of the augmentation labels; 0 for none. */
  readonly augmentDim?: number;
  /** Channels that the widths are multiples of; a multiple of 4. */
  readonly modelChannels?: number;
  /** Width of each level, as a multiple of `modelChannels`. */
  readonly channelMult?: readonly number[];
  /** Width of the embedding, as a multiple of `modelChannels`. */
  readonly channelMultEmb?: number;
  /** Residual blocks per level in the encoder; the decoder has one more. */
  readonly numBlocks?: number;
  /** Resolutions with self-attention, in pixels. */
  readonly attnResolutions?: readonly number[];
  /** Probability of dropping an activation in training, in [0, 1). */
  readonly dropout?: number;
}

/** The initial values of the parts of a network, by role. */
export interface Initializers {
  /** Most layers. */
  readonly main: Initializer;
  /** The biases of most layers. */
  readonly mainBias: Initializer;
  /** Layers that end a residual branch: they start at, or close to, zero. */
  readonly branchEnd: Initializer;
  /** Biases of those layers. */
  readonly branchEndBias: Initializer;
  /** The projection to queries, keys and values. */
  readonly attention: Initializer;
}

/** Settings shared by all blocks of a network. */
export interface BlockStyle {
  /** Width of the embedding. */
  readonly embeddingChannels: number;
  /** Probability of dropping an activation in training. */
  readonly dropout: number;
  /** Factor on every sum of a branch and its skip. */
  readonly skipScale: number;
  /** Added to the variance in the normalisations. */
  readonly eps: number;
  /** Taps of the resampling filter along each axis. */
  readonly filter: readonly number[];
  /** Whether a resampling skip has weights even if the channels do not change. */
  readonly projectResampledSkip: boolean;
  /** Whether the embedding scales and shifts the normalised activations, or is added before the normalisation. */
  readonly adaptiveScale: boolean;
  /** Initial values by role. */
  readonly init: Initializers;
}

/** Settings that differ from block to block. */
export interface BlockOptions {
  /** Whether the block changes the resolution. */
  resampling?: Resampling | undefined;
  /** Number of attention heads; 0 for no attention. */
  heads?: number;
}

/** The dropout of a block. */
export interface BlockDropout {
  /** Masks of the whole network. */
  readonly keys: DropoutKeys;
  /** The block's number in the network. */
  readonly layer: number;
}

/** One resolution of a U-Net. */
export interface UNetLevel {
  /** 0 for the full resolution. */
  readonly level: number;
  /** Width of its blocks. */
  readonly channels: number;
  /** Height and width as in state-dict keys, such as "16x16". */
  readonly size: string;
  /** Whether its blocks have self-attention. */
  readonly attends: boolean;
}

/** The resolutions of a U-Net, the full one first. */
export function unetLevels({
  resolution,
  modelChannels,
  channelMult,
  attnResolutions,
}: Required<Pick<UNetOptions, "resolution" | "modelChannels" | "channelMult" | "attnResolutions">>): UNetLevel[] {
  return channelMult.map((multiple, level) => ({
    level,
    channels: modelChannels * multiple,
    size: `${resolution >> level}x${resolution >> level}`,
    attends: attnResolutions.includes(resolution >> level),
  }));
}

/**
 * Whether the following operation adds the biases of convolutions. On a GPU a bias and its gradient each cost another pass over
 * memory; on a CPU the convolution adds it for free.
 */
const addsBiasLater = (x: Tensor): boolean => x.device !== "cpu";

/** The skip connection of a block; undefined for the identity. */
type Skip = ResamplingConv2d | Resample | undefined;

/**
 * h = conv1(dropout(silu(norm1(conv0(silu(norm0(x)))) modulated by the embedding)); x' = (skip(x) + h) skipScale, and with
 * attention x'' = (x' + proj(attention(norm2(x')))) skipScale.
 *
 * Shapes: input `[B, inChannels, H, W]`, embedding `[B, embeddingChannels]`, output `[B, outChannels, H', W']`.
 */
export class UNetBlock extends Module {
  /** Channels of the input. */
  readonly inChannels: number;
  /** Channels of the output. */
  readonly outChannels: number;
  private readonly style: BlockStyle;
  private readonly norm0: GroupNorm;
  private readonly conv0: ResamplingConv2d;
  private readonly affine: Linear;
  private readonly norm1: GroupNorm;
  private readonly conv1: ResamplingConv2d;
  private readonly skip: Skip;
  private readonly attention: SelfAttention | undefined;

  constructor(
    inChannels: number,
    outChannels: number,
    style: BlockStyle,
    { resampling, heads = 0 }: BlockOptions = {},
  ) {
    super();
    this.inChannels = inChannels;
    this.outChannels = outChannels;
    this.style = style;
    const { eps, filter } = style;
    const { main, mainBias, branchEnd, branchEndBias } = style.init;
    const inits = { init: main, biasInit: mainBias };
    this.norm0 = this.registerModule("norm0", new GroupNorm(groupsFor(inChannels), inChannels, { eps, silu: true }));
    this.conv0 = this.registerModule(
      "conv0",
      new ResamplingConv2d(inChannels, outChannels, 3, { resampling, filter, ...inits }),
    );
    const modulation = style.adaptiveScale ? 2 * outChannels : outChannels;
    this.affine = this.registerModule("affine", new Linear(style.embeddingChannels, modulation, inits));
    this.norm1 = this.registerModule("norm1", new GroupNorm(groupsFor(outChannels), outChannels, { eps, silu: true }));
    this.conv1 = this.registerModule(
      "conv1",
      new ResamplingConv2d(outChannels, outChannels, 3, { init: branchEnd, biasInit: branchEndBias }),
    );
    if (inChannels !== outChannels || (resampling && style.projectResampledSkip)) {
      const projection = new ResamplingConv2d(inChannels, outChannels, 1, { resampling, filter, ...inits });
      this.skip = this.registerModule("skip", projection);
    } else if (resampling) {
      this.skip = this.registerModule("skip", new Resample(resampling, filter));
    }
    if (heads > 0) {
      this.attention = new SelfAttention(outChannels, heads, style);
      for (const [name, part] of this.attention.namedChildren()) this.registerModule(name, part);
    }
  }

  /**
   * The output `[B, outChannels, H', W']`, in the dtype of `x`.
   *
   * @param dropout - determines the dropout masks in training; the global random generator does when left out
   */
  forward(x: Tensor, embedding: Tensor, dropout?: BlockDropout): Tensor {
    return scope(() => {
      const { skipScale } = this.style;
      const { attention } = this;
      const later = addsBiasLater(x);
      const h = this.branch(x, embedding, dropout);
      const sum = scaledAdd_(h, this.skipped(x), skipScale, later ? this.sumBias() : null);
      if (!attention) return sum;
      return scaledAdd_(attention.forward(sum), sum, skipScale, later ? attention.bias : null);
    });
  }

  /** The skip branch. */
  private skipped(x: Tensor): Tensor {
    const { skip } = this;
    if (skip instanceof ResamplingConv2d) return skip.forward(x, addsBiasLater(x) ? { bias: null } : {});
    return skip ? skip.forward(x) : x;
  }

  /** The biases of the convolutions that enter the sum. */
  private sumBias(): Tensor | null {
    const { conv1, skip } = this;
    const own = skip instanceof ResamplingConv2d ? skip.bias : null;
    return own && conv1.bias ? conv1.bias.add(own) : conv1.bias;
  }

  private branch(x: Tensor, embedding: Tensor, dropout: BlockDropout | undefined): Tensor {
    return scope(() => {
      const { conv0, conv1 } = this;
      const options = addsBiasLater(x) ? { bias: null } : {};
      const h = conv0.forward(this.norm0.forward(x), options);
      const modulation = this.modulation(embedding, addsBiasLater(x) ? conv0.bias : null);
      const activated = this.norm1.forward(h, { ...modulation, dropout: this.dropoutMask(dropout) });
      return conv1.forward(activated, options);
    });
  }

  /**
   * Applies the embedding at the second normalisation.
   *
   * @param bias - bias of the preceding convolution, if not yet added
   */
  private modulation(embedding: Tensor, bias: Tensor | null): GroupNormExtras {
    const rows = this.affine.forward(embedding);
    if (!this.style.adaptiveScale) return { shift: bias ? rows.add(bias) : rows };
    const [scale, offset] = rows.chunk(2, 1) as [Tensor, Tensor];
    return { modulation: { scale, offset }, shift: bias?.expand([rows.size(0), bias.size(0)]).contiguous() };
  }

  private dropoutMask(given: BlockDropout | undefined): DropoutMask | undefined {
    const { dropout: probability } = this.style;
    if (!this.training || probability === 0) return undefined;
    return given ? { probability, key: given.keys.keyOf(given.layer), first: given.keys.first } : { probability };
  }
}

/**
 * Self-attention over the pixels. Queries, keys and values are interleaved as in the published weights.
 *
 * Shapes: input and output `[B, channels, H, W]`.
 */
class SelfAttention extends Module {
  private readonly heads: number;
  private readonly norm: GroupNorm;
  private readonly qkv: ResamplingConv2d;
  private readonly proj: ResamplingConv2d;

  constructor(channels: number, heads: number, { eps, init }: BlockStyle) {
    super();
    this.heads = heads;
    this.norm = this.registerModule("norm2", new GroupNorm(groupsFor(channels), channels, { eps }));
    this.qkv = this.registerModule(
      "qkv",
      new ResamplingConv2d(channels, 3 * channels, 1, { init: init.attention, biasInit: init.mainBias }),
    );
    this.proj = this.registerModule(
      "proj",
      new ResamplingConv2d(channels, channels, 1, { init: init.branchEnd, biasInit: init.branchEndBias }),
    );
  }

  /** The bias of the last convolution, unless the caller adds it. */
  get bias(): Tensor | null {
    return this.proj.bias;
  }

  forward(x: Tensor): Tensor {
    const options = addsBiasLater(x) ? { bias: null } : {};
    return scope(() => this.proj.forward(attention(this.qkv.forward(this.norm.forward(x)), this.heads), options));
  }
}

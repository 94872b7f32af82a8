/** The U-Net of Dhariwal and Nichol (2021), "ADM", in the form of Karras et al. (2022, appendix C and table 7). */

import {
  cat,
  GroupNorm,
  kaimingNormal,
  kaimingUniform,
  Linear,
  Module,
  ModuleDict,
  type Part,
  scope,
  type Tensor,
  torchDefault,
} from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { groupsFor } from "./channels.js";
import { PositionalEmbedding } from "./embedding.js";
import { type Conditions, freeUsed, type Network, runPart } from "./network.js";
import { ResamplingConv2d } from "./resample.js";
import { type BlockStyle, type Initializers, UNetBlock, type UNetOptions, unetLevels } from "./unet-block.js";

/** Channels per attention head. */
export const CHANNELS_PER_HEAD = 64;

/** Number of heads of a block with attention; 0 if there are too few channels for one. */
export const headsFor = (channels: number): number => Math.floor(channels / CHANNELS_PER_HEAD);

/** Zeros that still consume random numbers, so that a seed gives the published initial weights. */
const drawnZeros = kaimingUniform(0);

const initializers: Initializers = {
  main: torchDefault,
  mainBias: torchDefault,
  branchEnd: drawnZeros,
  branchEndBias: drawnZeros,
  attention: torchDefault,
};

/** A block of the decoder, and whether it takes a skip of the encoder besides its input. */
interface DecoderStep {
  readonly block: UNetBlock;
  readonly takesSkip: boolean;
}

/**
 * Shapes: input `[B, inChannels, R, R]`, noise labels `[B]`, output `[B, outChannels, R, R]`. State-dict keys are those of
 * the published networks. Attention has one head per 64 channels, thus none in blocks with fewer.
 */
export class DhariwalUNet extends Module implements Network {
  readonly shape: ImageShape;
  readonly labelDim: number;
  private readonly mapNoise: PositionalEmbedding;
  private readonly mapAugment: Linear | undefined;
  private readonly mapLayer0: Linear;
  private readonly mapLayer1: Linear;
  private readonly mapLabel: Linear | undefined;
  private readonly stem: ResamplingConv2d;
  private readonly encoder: readonly UNetBlock[];
  private readonly decoder: readonly DecoderStep[];
  private readonly outNorm: GroupNorm;
  private readonly outConv: ResamplingConv2d;

  constructor({
    resolution,
    inChannels,
    outChannels,
    labelDim = 0,
    augmentDim = 0,
    modelChannels = 192,
    channelMult = [1, 2, 3, 4],
    channelMultEmb = 4,
    numBlocks = 3,
    attnResolutions = [32, 16, 8],
    dropout = 0.1,
  }: UNetOptions) {
    super();
    this.shape = { channels: inChannels, height: resolution, width: resolution };
    this.labelDim = labelDim;
    const embeddingChannels = modelChannels * channelMultEmb;
    const style: BlockStyle = {
      embeddingChannels,
      dropout,
      skipScale: 1,
      eps: 1e-5,
      filter: [1, 1],
      projectResampledSkip: false,
      adaptiveScale: true,
      init: initializers,
    };

    this.mapNoise = this.registerModule("map_noise", new PositionalEmbedding(modelChannels));
    if (augmentDim > 0) {
      const map = new Linear(augmentDim, modelChannels, { init: drawnZeros, bias: false });
      this.mapAugment = this.registerModule("map_augment", map);
    }
    this.mapLayer0 = this.registerModule("map_layer0", new Linear(modelChannels, embeddingChannels));
    this.mapLayer1 = this.registerModule("map_layer1", new Linear(embeddingChannels, embeddingChannels));
    if (labelDim > 0) {
      const map = new Linear(labelDim, embeddingChannels, { init: kaimingNormal(Math.sqrt(labelDim)), bias: false });
      this.mapLabel = this.registerModule("map_label", map);
    }

    const levels = unetLevels({ resolution, modelChannels, channelMult, attnResolutions });

    const enc = this.registerModule("enc", new ModuleDict());
    const encoder: UNetBlock[] = [];
    let channels = modelChannels * (channelMult[0] ?? 1);
    this.stem = enc.add(`${levels[0]?.size}_conv`, new ResamplingConv2d(inChannels, channels, 3));
    const skips = [channels];
    const addToEncoder = (name: string, block: UNetBlock): void => {
      encoder.push(enc.add(name, block));
      channels = block.outChannels;
      skips.push(channels);
    };
    for (const { level, channels: width, size, attends } of levels) {
      if (level > 0) addToEncoder(`${size}_down`, new UNetBlock(channels, channels, style, { resampling: "down" }));
      for (let i = 0; i < numBlocks; i++) {
        const block = new UNetBlock(channels, width, style, { heads: attends ? headsFor(width) : 0 });
        addToEncoder(`${size}_block${i}`, block);
      }
    }
    this.encoder = encoder;

    const dec = this.registerModule("dec", new ModuleDict());
    const decoder: DecoderStep[] = [];
    const addToDecoder = (name: string, block: UNetBlock, takesSkip: boolean): void => {
      decoder.push({ block: dec.add(name, block), takesSkip });
      channels = block.outChannels;
    };
    for (const { level, channels: width, size, attends } of [...levels].reverse()) {
      if (level === levels.length - 1) {
        const attending = new UNetBlock(channels, channels, style, { heads: headsFor(channels) });
        addToDecoder(`${size}_in0`, attending, false);
        addToDecoder(`${size}_in1`, new UNetBlock(channels, channels, style), false);
      } else {
        addToDecoder(`${size}_up`, new UNetBlock(channels, channels, style, { resampling: "up" }), false);
      }
      for (let i = 0; i <= numBlocks; i++) {
        const inputs = channels + (skips.pop() ?? 0);
        const block = new UNetBlock(inputs, width, style, { heads: attends ? headsFor(width) : 0 });
        addToDecoder(`${size}_block${i}`, block, true);
      }
    }
    this.decoder = decoder;
    this.outNorm = this.registerModule("out_norm", new GroupNorm(groupsFor(channels), channels, { silu: true }));
    const last = new ResamplingConv2d(channels, outChannels, 3, { init: drawnZeros });
    this.outConv = this.registerModule("out_conv", last);
  }

  /**
   * The raw output F, `[B, outChannels, R, R]`, in the dtype of `x`.
   *
   * @param x - scaled noisy images, `[B, inChannels, R, R]`
   * @param noiseLabels - c_noise of each image, `[B]`, float32 or float64
   */
  forward(x: Tensor, noiseLabels: Tensor, conditions: Conditions = {}): Tensor {
    return scope(() => {
      const { dropout: keys, recomputation } = conditions;
      const run = (part: Part, ...inputs: Tensor[]): Tensor => runPart(recomputation, part, ...inputs);
      const computed = this.embed(noiseLabels, conditions);
      const embedding = recomputation?.cut(computed) ?? computed;
      let h = run((image) => this.stem.forward(image), x);
      const skips = [h];
      for (const [layer, block] of this.encoder.entries()) {
        h = run((input, e) => block.forward(input, e, keys && { keys, layer }), h, embedding);
        skips.push(h);
      }
      for (const [i, { block, takesSkip }] of this.decoder.entries()) {
        const dropout = keys && { keys, layer: this.encoder.length + i };
        const [input, skip] = [h, takesSkip ? skips.pop() : undefined];
        h = skip
          ? run((a, b, e) => scope(() => block.forward(cat([a, b], 1), e, dropout)), input, skip, embedding)
          : run((a, e) => block.forward(a, e, dropout), input, embedding);
        freeUsed(recomputation, skips, input, skip);
      }
      return run((last) => this.outConv.forward(this.outNorm.forward(last)), h);
    });
  }

  /** The embedding of the noise level and the conditions for the blocks, `[B, embeddingChannels]`. */
  private embed(noiseLabels: Tensor, { labels, augmentLabels }: Conditions): Tensor {
    return scope(() => {
      let embedding = this.mapNoise.forward(noiseLabels);
      if (this.mapAugment && augmentLabels) embedding = embedding.add(this.mapAugment.forward(augmentLabels));
      embedding = this.mapLayer1.forward(this.mapLayer0.forward(embedding).silu());
      if (this.mapLabel && labels) embedding = embedding.add(this.mapLabel.forward(labels));
      return embedding.silu();
    });
  }
}

/**
 * The U-Net of Song et al. (2021) in the form of Karras et al. (2022, appendix C and table 7). One class holds both DDPM++
 * and NCSN++; they differ only in options.
 */

import {
  cat,
  GroupNorm,
  type Initializer,
  Linear,
  Module,
  ModuleDict,
  type Part,
  scaledAdd_,
  scope,
  type Tensor,
  xavierUniform,
  zeros,
} from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { groupsFor } from "./channels.js";
import { FourierEmbedding, PositionalEmbedding } from "./embedding.js";
import { type Conditions, freeUsed, type Network, runPart } from "./network.js";
import { Resample, ResamplingConv2d } from "./resample.js";
import { type BlockStyle, type Initializers, UNetBlock, type UNetOptions, unetLevels } from "./unet-block.js";

/** The configuration of a {@link SongUNet}. */
export interface SongUNetOptions extends UNetOptions {
  /** How the noise level is embedded: {@link PositionalEmbedding} or {@link FourierEmbedding}. */
  readonly embeddingType?: "positional" | "fourier";
  /** Width of the noise embedding, as a multiple of `modelChannels`. */
  readonly channelMultNoise?: number;
  /** Whether and how the encoder gets the input at every level. */
  readonly encoderType?: "standard" | "skip" | "residual";
  /** Whether the decoder sums an image over its levels. */
  readonly decoderType?: "standard" | "skip";
  /** Taps of the resampling filter along each axis; their scale does not matter. */
  readonly resampleFilter?: readonly number[];
}

/** A part of the encoder; every output but the pyramid's own is kept as a skip for the decoder. */
type EncoderStep =
  | { readonly kind: "stem"; readonly module: ResamplingConv2d }
  | { readonly kind: "block"; readonly module: UNetBlock }
  /** Downsamples the running input. */
  | { readonly kind: "pyramid"; readonly module: Resample }
  /** Adds the running input to the activations. */
  | { readonly kind: "pyramidSkip"; readonly module: ResamplingConv2d }
  /** Turns the running input into the mean of itself, convolved, and the activations. */
  | { readonly kind: "pyramidResidual"; readonly module: ResamplingConv2d };

/** A part of the decoder. */
type DecoderStep =
  | { readonly kind: "block"; readonly module: UNetBlock; readonly takesSkip: boolean }
  /** Upsamples the running output. */
  | { readonly kind: "enlarge"; readonly module: Resample }
  /** Adds an image made from the activations to the running output. */
  | { readonly kind: "output"; readonly norm: GroupNorm; readonly conv: ResamplingConv2d };

const initializers: Initializers = {
  main: xavierUniform(),
  mainBias: zerosLikeDrawn(xavierUniform()),
  branchEnd: xavierUniform(1e-5),
  branchEndBias: zerosLikeDrawn(xavierUniform(1e-5)),
  attention: xavierUniform(Math.sqrt(0.2)),
};

/** Zeros that still consume random numbers, so that a seed gives the published initial weights. */
function zerosLikeDrawn(drawn: Initializer): Initializer {
  return (shape, fans) => scope(() => drawn(shape, fans).mul_(0));
}

/**
 * The U-Net of Song et al. (2021) in the form of Karras et al. (2022, appendix C and table 7), as DDPM++ or NCSN++.
 *
 * Shapes: input `[B, inChannels, R, R]`, noise labels `[B]`, output `[B, outChannels, R, R]`. State-dict keys are those of
 * the published networks.
 */
export class SongUNet extends Module implements Network {
  readonly shape: ImageShape;
  readonly labelDim: number;
  private readonly mapNoise: PositionalEmbedding | FourierEmbedding;
  private readonly mapLabel: Linear | undefined;
  private readonly mapAugment: Linear | undefined;
  private readonly mapLayer0: Linear;
  private readonly mapLayer1: Linear;
  private readonly encoder: readonly EncoderStep[];
  private readonly decoder: readonly DecoderStep[];

  /** Draws the initial weights from the global random generator. */
  constructor({
    resolution,
    inChannels,
    outChannels,
    labelDim = 0,
    augmentDim = 0,
    modelChannels = 128,
    channelMult = [1, 2, 2, 2],
    channelMultEmb = 4,
    numBlocks = 4,
    attnResolutions = [16],
    dropout = 0.1,
    embeddingType = "positional",
    channelMultNoise = 1,
    encoderType = "standard",
    decoderType = "standard",
    resampleFilter: filter = [1, 1],
  }: SongUNetOptions) {
    super();
    this.shape = { channels: inChannels, height: resolution, width: resolution };
    this.labelDim = labelDim;
    const embeddingChannels = modelChannels * channelMultEmb;
    const noiseChannels = modelChannels * channelMultNoise;
    const inits = { init: initializers.main, biasInit: initializers.mainBias };
    const style: BlockStyle = {
      embeddingChannels,
      dropout,
      skipScale: Math.SQRT1_2,
      eps: 1e-6,
      filter,
      projectResampledSkip: true,
      adaptiveScale: false,
      init: initializers,
    };

    this.mapNoise = this.registerModule(
      "map_noise",
      embeddingType === "positional"
        ? new PositionalEmbedding(noiseChannels, { endpoint: true })
        : new FourierEmbedding(noiseChannels),
    );
    if (labelDim > 0) this.mapLabel = this.registerModule("map_label", new Linear(labelDim, noiseChannels, inits));
    if (augmentDim > 0) {
      this.mapAugment = this.registerModule(
        "map_augment",
        new Linear(augmentDim, noiseChannels, { ...inits, bias: false }),
      );
    }
    this.mapLayer0 = this.registerModule("map_layer0", new Linear(noiseChannels, embeddingChannels, inits));
    this.mapLayer1 = this.registerModule("map_layer1", new Linear(embeddingChannels, embeddingChannels, inits));

    const levels = unetLevels({ resolution, modelChannels, channelMult, attnResolutions });

    const enc = this.registerModule("enc", new ModuleDict());
    const encoder: EncoderStep[] = [];
    const skips: number[] = [];
    let channels = inChannels;
    let pyramidChannels = inChannels;
    for (const { level, channels: width, size, attends } of levels) {
      if (level === 0) {
        encoder.push({
          kind: "stem",
          module: enc.add(`${size}_conv`, new ResamplingConv2d(channels, modelChannels, 3, inits)),
        });
        channels = modelChannels;
        skips.push(channels);
      } else {
        const down = new UNetBlock(channels, channels, style, { resampling: "down" });
        encoder.push({ kind: "block", module: enc.add(`${size}_down`, down) });
        skips.push(channels);
        if (encoderType === "skip") {
          encoder.push({ kind: "pyramid", module: enc.add(`${size}_aux_down`, new Resample("down", filter)) });
          const add = new ResamplingConv2d(pyramidChannels, channels, 1, inits);
          encoder.push({ kind: "pyramidSkip", module: enc.add(`${size}_aux_skip`, add) });
        }
        if (encoderType === "residual") {
          const residual = new ResamplingConv2d(pyramidChannels, channels, 3, {
            resampling: "down",
            filter,
            filterLast: true,
            ...inits,
          });
          encoder.push({ kind: "pyramidResidual", module: enc.add(`${size}_aux_residual`, residual) });
          pyramidChannels = channels;
        }
      }
      for (let i = 0; i < numBlocks; i++) {
        const block = new UNetBlock(channels, width, style, { heads: attends ? 1 : 0 });
        encoder.push({ kind: "block", module: enc.add(`${size}_block${i}`, block) });
        channels = width;
        skips.push(channels);
      }
    }
    this.encoder = encoder;

    const dec = this.registerModule("dec", new ModuleDict());
    const decoder: DecoderStep[] = [];
    const addBlock = (name: string, block: UNetBlock, takesSkip: boolean): void => {
      decoder.push({ kind: "block", module: dec.add(name, block), takesSkip });
      channels = block.outChannels;
    };
    for (const { level, channels: width, size, attends } of [...levels].reverse()) {
      if (level === levels.length - 1) {
        addBlock(`${size}_in0`, new UNetBlock(channels, channels, style, { heads: 1 }), false);
        addBlock(`${size}_in1`, new UNetBlock(channels, channels, style), false);
      } else {
        addBlock(`${size}_up`, new UNetBlock(channels, channels, style, { resampling: "up" }), false);
      }
      for (let i = 0; i <= numBlocks; i++) {
        const heads = i === numBlocks && attends ? 1 : 0;
        addBlock(`${size}_block${i}`, new UNetBlock(channels + (skips.pop() ?? 0), width, style, { heads }), true);
      }
      if (decoderType === "skip" || level === 0) {
        if (decoderType === "skip" && level < levels.length - 1) {
          decoder.push({ kind: "enlarge", module: dec.add(`${size}_aux_up`, new Resample("up", filter)) });
        }
        const norm = dec.add(
          `${size}_aux_norm`,
          new GroupNorm(groupsFor(channels), channels, { eps: 1e-6, silu: true }),
        );
        const conv = new ResamplingConv2d(channels, outChannels, 3, {
          init: initializers.branchEnd,
          biasInit: initializers.branchEndBias,
        });
        decoder.push({ kind: "output", norm, conv: dec.add(`${size}_aux_conv`, conv) });
      }
    }
    this.decoder = decoder;
  }

  /**
   * The raw network F.
   *
   * @param x - scaled noisy images, `[B, inChannels, R, R]`
   * @param noiseLabels - c_noise of each image, `[B]`
   * @returns `[B, outChannels, R, R]`, in the dtype of x
   */
  forward(x: Tensor, noiseLabels: Tensor, conditions: Conditions = {}): Tensor {
    return scope(() => {
      const embedding = this.embed(noiseLabels, conditions);
      const known = conditions.recomputation?.cut(embedding) ?? embedding;
      const { activations, skips } = this.encode(x, known, conditions);
      return this.decode(activations, skips, known, conditions);
    });
  }

  /** The embedding of the noise level and the conditions for the blocks, `[B, embeddingChannels]`, in the dtype of the noise labels. */
  private embed(noiseLabels: Tensor, { labels, augmentLabels }: Conditions): Tensor {
    return scope(() => {
      // The published networks were trained with the sine half first.
      const [cosine, sine] = this.mapNoise.forward(noiseLabels).chunk(2, 1) as [Tensor, Tensor];
      let embedding = cat([sine, cosine], 1);
      if (this.mapLabel) {
        // Unconditional is a row of zeros, which leaves the bias.
        const { dtype, device } = embedding;
        const rows = labels ?? zeros([1, this.labelDim], { dtype, device });
        embedding = embedding.add(this.mapLabel.forward(rows.mul(Math.sqrt(this.labelDim))));
      }
      if (this.mapAugment && augmentLabels) embedding = embedding.add(this.mapAugment.forward(augmentLabels));
      return this.mapLayer1.forward(this.mapLayer0.forward(embedding).silu()).silu();
    });
  }

  private encode(
    input: Tensor,
    embedding: Tensor,
    { dropout: keys, recomputation }: Conditions,
  ): { activations: Tensor; skips: Tensor[] } {
    return scope(() => {
      const run = (part: Part, ...inputs: Tensor[]): Tensor => runPart(recomputation, part, ...inputs);
      const skips: Tensor[] = [];
      let x = input;
      let pyramid = input;
      for (const [layer, step] of this.encoder.entries()) {
        switch (step.kind) {
          case "stem":
            x = run((image) => step.module.forward(image), x);
            skips.push(x);
            break;
          case "block": {
            const dropout = keys && { keys, layer };
            x = run((h, e) => step.module.forward(h, e, dropout), x, embedding);
            skips.push(x);
            break;
          }
          case "pyramid":
            pyramid = run((image) => step.module.forward(image), pyramid);
            break;
          case "pyramidSkip":
            x = run((h, image) => h.add(step.module.forward(image)), x, pyramid);
            skips[skips.length - 1] = x;
            break;
          case "pyramidResidual":
            x = run((h, image) => scaledAdd_(step.module.forward(image), h, Math.SQRT1_2), x, pyramid);
            pyramid = x;
            skips[skips.length - 1] = x;
            break;
          default:
            step satisfies never;
        }
      }
      return { activations: x, skips };
    });
  }

  /** Frees the activations and skips as they are used up, so that drawing does not keep those of the whole network. */
  private decode(
    activations: Tensor,
    skips: Tensor[],
    embedding: Tensor,
    { dropout: keys, recomputation }: Conditions,
  ): Tensor {
    return scope(() => {
      const run = (part: Part, ...inputs: Tensor[]): Tensor => runPart(recomputation, part, ...inputs);
      let x = activations;
      let output: Tensor | undefined;
      for (const [i, step] of this.decoder.entries()) {
        switch (step.kind) {
          case "block": {
            const dropout = keys && { keys, layer: this.encoder.length + i };
            const block = (h: Tensor, e: Tensor): Tensor => step.module.forward(h, e, dropout);
            const [input, skip] = [x, step.takesSkip ? skips.pop() : undefined];
            x = skip
              ? run((h, s, e) => scope(() => block(cat([h, s], 1), e)), input, skip, embedding)
              : run(block, input, embedding);
            freeUsed(recomputation, skips, input, skip);
            break;
          }
          case "enlarge":
            output = output && run((image) => step.module.forward(image), output);
            break;
          case "output": {
            const draw = (h: Tensor): Tensor => step.conv.forward(step.norm.forward(h));
            output = output ? run((image, h) => image.add(draw(h)), output, x) : run(draw, x);
            break;
          }
          default:
            step satisfies never;
        }
      }
      return output as Tensor;
    });
  }
}

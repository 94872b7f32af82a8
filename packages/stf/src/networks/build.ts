/** Networks from plain data: what a checkpoint stores, and the command line asks for. */

import type { ImageShape } from "../data/bank.js";
import { UsageError } from "../run/errors.js";
import type { Architecture } from "./architectures.js";
import { Denoiser, type Precision } from "./denoiser.js";
import { edmPreconditioning } from "./precondition.js";
import { SongUNet, type SongUNetOptions } from "./song-unet.js";

/** A network's shape, as stored in its checkpoint. */
export interface NetworkConfig {
  /** The family. */
  readonly arch: Architecture;
  /** The preconditioning around the network. */
  readonly precond: "edm";
  /** Of the images, in and out. */
  readonly shape: ImageShape;
  /** Channels that the widths are multiples of; itself a multiple of 4. */
  readonly modelChannels: number;
  /** Width of each resolution, as a multiple of `modelChannels`; the sizes of the images halve from one to the next. */
  readonly channelMult: readonly number[];
  /** Residual blocks per resolution in the encoder; the decoder has one more. */
  readonly numBlocks: number;
  /** Resolutions with self-attention, in pixels. */
  readonly attnResolutions: readonly number[];
  /** Probability of dropping an activation in training, in [0, 1). */
  readonly dropout: number;
  /** Number of classes; 0, the default, for an unconditional network. */
  readonly labelDim?: number;
}

/** What the names stand for (Karras et al. 2022, table 1 and appendix F). */
const architectureOptions = {
  ddpmpp: {
    embeddingType: "positional",
    encoderType: "standard",
    decoderType: "standard",
    channelMultNoise: 1,
    resampleFilter: [1, 1],
  },
  ncsnpp: {
    embeddingType: "fourier",
    encoderType: "residual",
    decoderType: "standard",
    channelMultNoise: 2,
    resampleFilter: [1, 3, 3, 1],
  },
} as const satisfies Record<Architecture, Partial<SongUNetOptions>>;

/** @throws UsageError when the images cannot be halved as often as the network wants. */
function checkResolution({ height, width }: ImageShape, levels: number): void {
  const factor = 2 ** (levels - 1);
  if (height !== width) throw new UsageError(`the network takes square images, found ${width}x${height}`);
  if (height % factor !== 0) {
    const below = Math.floor(height / factor) * factor;
    throw new UsageError(
      `a network of ${levels} resolutions needs sizes divisible by ${factor}, found ${height}; ` +
        `nearest are ${below} and ${below + factor}, or give fewer numbers to --cres`,
    );
  }
}

/**
 * A network with fresh weights from the global random generator, in EDM's preconditioning, in training mode.
 *
 * @throws UsageError when the configuration does not fit the images.
 */
export function buildDenoiser(config: NetworkConfig, { precision = "fp32" }: { precision?: Precision } = {}): Denoiser {
  const { arch, shape, modelChannels, channelMult, numBlocks, attnResolutions, dropout, labelDim = 0 } = config;
  checkResolution(shape, channelMult.length);
  if (modelChannels % 4 !== 0) throw new UsageError(`--cbase must be a multiple of 4, found ${modelChannels}`);
  const network = new SongUNet({
    resolution: shape.height,
    inChannels: shape.channels,
    outChannels: shape.channels,
    modelChannels,
    channelMult,
    numBlocks,
    attnResolutions,
    dropout,
    labelDim,
    ...architectureOptions[arch],
  });
  return new Denoiser(network, edmPreconditioning(), { precision });
}

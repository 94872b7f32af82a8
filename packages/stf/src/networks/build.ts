/** Builds networks from plain data: the configuration in a checkpoint or from the command line. */

import { UsageError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import type { Constants } from "../preconditioning/constants.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import { type PreconditioningName, preconditioningOf } from "../preconditioning/table.js";
import type { Architecture, NetworkSize, Precision } from "./architectures.js";
import { checkChannels } from "./channels.js";
import { Denoiser } from "./denoiser.js";
import { CHANNELS_PER_HEAD, DhariwalUNet, headsFor } from "./dhariwal-unet.js";
import { Mlp } from "./mlp.js";
import type { Network } from "./network.js";
import { SongUNet, type SongUNetOptions } from "./song-unet.js";
import { unetLevels } from "./unet-block.js";

/** A network's shape, as stored in its checkpoint. */
export interface NetworkConfig extends NetworkSize {
  /** The network family. */
  readonly arch: Architecture;
  /** The preconditioning around the network. */
  readonly precond: PreconditioningName;
  /** Constants of the preconditioning. Those left out have their published values. */
  readonly constants?: Constants;
  /** Shape of the images, in and out. */
  readonly shape: ImageShape;
  /** Probability of dropping an activation in training, in [0, 1). */
  readonly dropout: number;
  /** Number of classes; 0, the default, for an unconditional network. */
  readonly labelDim?: number;
  /** Width of the augmentation labels; 0, the default, for none. */
  readonly augmentDim?: number;
}

/** The named architectures (Karras et al. 2022, table 1 and appendix F). */
const songOptions = {
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
} as const satisfies Partial<Record<Architecture, Partial<SongUNetOptions>>>;

/** @throws UsageError when the images cannot be halved as often as the network requires. */
function checkResolution({ height, width }: ImageShape, levels: number): void {
  const factor = 2 ** (levels - 1);
  if (height !== width) throw new UsageError(`the network takes square images, found ${width}x${height}`);
  if (height % factor !== 0) {
    const below = Math.floor(height / factor) * factor;
    const nearest = below > 0 ? `nearest are ${below} and ${below + factor}` : `the smallest is ${factor}`;
    throw new UsageError(
      `a network of ${levels} resolutions needs sizes divisible by ${factor}, found ${height}; ${nearest}, or give fewer numbers to 'cres'`,
    );
  }
}

/** @throws UsageError when the channels of a resolution with attention cannot be divided into heads. */
function checkHeads({ shape, ...sizes }: NetworkConfig): void {
  const levels = unetLevels({ resolution: shape.height, ...sizes });
  for (const { level, channels, size, attends } of levels) {
    const isDeepest = level === levels.length - 1;
    const heads = attends || isDeepest ? headsFor(channels) : 0;
    if (heads > 0 && channels % heads !== 0) {
      throw new UsageError(
        `adm needs a multiple of ${CHANNELS_PER_HEAD} channels at resolutions with attention, found ${channels} at ${size}; give a 'cbase' divisible by ${CHANNELS_PER_HEAD}`,
      );
    }
  }
}

function buildNetwork(config: NetworkConfig, outChannels: number): Network {
  const { arch, shape, modelChannels, numBlocks, labelDim = 0, augmentDim = 0 } = config;
  if (arch === "mlp") {
    return new Mlp({
      shape,
      outChannels,
      width: modelChannels,
      hiddenLayers: numBlocks,
      labelDim,
      augmentDim,
    });
  }
  checkResolution(shape, config.channelMult.length);
  if (arch === "adm") checkHeads(config);
  checkChannels(config, arch === "adm");
  const options = {
    resolution: shape.height,
    inChannels: shape.channels,
    outChannels,
    labelDim,
    augmentDim,
    modelChannels,
    channelMult: config.channelMult,
    numBlocks,
    attnResolutions: config.attnResolutions,
    dropout: config.dropout,
  };
  return arch === "adm" ? new DhariwalUNet(options) : new SongUNet({ ...options, ...songOptions[arch] });
}

/** Options of {@link buildDenoiser} that are not part of a checkpoint. */
export interface BuildOptions {
  /** Precision of the activations; float32 when left out. */
  readonly precision?: Precision;
  /** Replaces that of the configuration: a custom one, or {@link edmPreconditioning} with constants. */
  readonly preconditioning?: Preconditioning;
}

/**
 * A newly initialised network in training mode, with weights from the global random generator.
 *
 * @throws UsageError when the configuration does not fit the images, or its preconditioning is unknown or has other constants.
 */
export function buildDenoiser(
  config: NetworkConfig,
  { precision = "fp32", preconditioning = preconditioningOf(config.precond, config.constants) }: BuildOptions = {},
): Denoiser {
  const outChannels = preconditioning.outputChannels(config.shape.channels);
  return new Denoiser(buildNetwork(config, outChannels), preconditioning, { precision });
}

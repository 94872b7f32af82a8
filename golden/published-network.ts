/** Networks and preconditionings from the constructor's arguments that a file names. */

import { join } from "node:path";
import type { Tensor } from "@stf/torch";
import {
  type BetaOptions,
  type Conditions,
  Denoiser,
  DhariwalUNet,
  type NamedPreconditioning,
  type NoiseRange,
  publishedPreconditioning,
  SongUNet,
} from "stf";
import { GoldenFile } from "./golden-file.js";

/** Constructor arguments under their published names. */
export interface PublishedConfig {
  readonly cls: string;
  readonly model_type?: string;
  readonly img_resolution: number;
  readonly img_channels: number;
  readonly label_dim?: number;
  readonly augment_dim?: number;
  readonly model_channels?: number;
  readonly channel_mult?: number[];
  readonly channel_mult_emb?: number;
  readonly num_blocks?: number;
  readonly attn_resolutions?: number[];
  readonly dropout?: number;
  readonly embedding_type?: "positional" | "fourier";
  readonly encoder_type?: "standard" | "skip" | "residual";
  readonly decoder_type?: "standard" | "skip";
  readonly channel_mult_noise?: number;
  readonly resample_filter?: number[];
  readonly sigma_data?: number;
  readonly sigma_min?: number;
  readonly sigma_max?: number;
  readonly beta_d?: number;
  readonly beta_min?: number;
  readonly epsilon_t?: number;
  readonly C_1?: number;
  readonly C_2?: number;
  readonly M?: number;
}

/** Whether the network is ADM, the default of two of the published classes. */
export const isDhariwal = ({ cls, model_type }: PublishedConfig): boolean =>
  (model_type ?? (/^(EDM|iDDPM)Precond$/.test(cls) ? "DhariwalUNet" : "SongUNet")) === "DhariwalUNet";

/** Leaves out undefined values, so that defaults apply. */
export const given = <T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

/** The published names give the slope of beta(t), and its defaults. */
export function betasOf({ beta_d = 19.9, beta_min = 0.1 }: Pick<PublishedConfig, "beta_d" | "beta_min">): BetaOptions {
  return { betaMin: beta_min, betaMax: beta_min + beta_d };
}

/** @throws Error for a class that is unknown */
export function preconditioningOf(config: { readonly cls: string }): NamedPreconditioning {
  const found = publishedPreconditioning(config.cls, { ...config });
  if (!found) throw new Error(`the preconditioning ${config.cls} is unknown`);
  return found;
}

/**
 * The network that a configuration describes, in evaluation mode, with fresh weights.
 *
 * @param range - of the noise levels, if that of the published network is known
 */
export function denoiserFrom(config: PublishedConfig, range: Partial<NoiseRange> = {}): Denoiser {
  const preconditioning = preconditioningOf(config);
  const shared = {
    resolution: config.img_resolution,
    inChannels: config.img_channels,
    outChannels: preconditioning.outputChannels(config.img_channels),
    ...given({
      labelDim: config.label_dim,
      augmentDim: config.augment_dim,
      modelChannels: config.model_channels,
      channelMult: config.channel_mult,
      channelMultEmb: config.channel_mult_emb,
      numBlocks: config.num_blocks,
      attnResolutions: config.attn_resolutions,
      dropout: config.dropout,
    }),
  };
  const network = isDhariwal(config)
    ? new DhariwalUNet(shared)
    : new SongUNet({
        ...shared,
        ...given({
          embeddingType: config.embedding_type,
          encoderType: config.encoder_type,
          decoderType: config.decoder_type,
          channelMultNoise: config.channel_mult_noise,
          resampleFilter: config.resample_filter,
        }),
      });
  return new Denoiser(network, { ...preconditioning, ...range }).eval();
}

/** The configuration of a file's network. The number of stored noise levels gives the chain's length. */
export function configOf(file: GoldenFile): PublishedConfig {
  const chain = file.has("u") ? { M: file.numbers("u").length - 1 } : {};
  return { ...chain, ...file.metadata<PublishedConfig>("config") };
}

/** The network of a file, with the weights of the file. */
export function denoiserOf(file: GoldenFile): Denoiser {
  // The published range was computed in float32.
  const [sigmaMin, sigmaMax] = file.has("sigma_range") ? file.numbers("sigma_range") : [];
  const denoiser = denoiserFrom(configOf(file), given({ sigmaMin, sigmaMax }));
  const names = file.names.filter((name) => name === "u" || name.startsWith("model."));
  denoiser.loadStateDict(new Map(names.map((name) => [name, file.tensor(name)])));
  return denoiser;
}

/** Class and augmentation labels, if the file has them, in the dtype of the network's input. */
export function conditionsOf(file: GoldenFile, dtype: "float32" | "float64" = "float32"): Conditions {
  const cast = (name: string): Tensor => file.tensor(name).to({ dtype });
  return {
    ...(file.has("class_labels") && { labels: cast("class_labels") }),
    ...(file.has("augment_labels") && { augmentLabels: cast("augment_labels") }),
  };
}

/** A file's folder and the other files in it. */
export interface Place {
  readonly folder: string;
  /** Names of the files. */
  readonly files: readonly string[];
}

/** The network of another file of the folder. @throws Error when there is no suitable one. */
export function denoiserBeside(
  { folder, files }: Place,
  number: string,
  suits: (name: string, config: PublishedConfig) => boolean = () => true,
): Denoiser {
  for (const name of files) {
    if (!name.startsWith(`${number}_`) || !name.endsWith(".safetensors")) continue;
    const file = new GoldenFile(join(folder, name));
    try {
      if (suits(name, configOf(file))) return denoiserOf(file);
    } finally {
      file.dispose();
    }
  }
  throw new Error(`it needs the network of a file ${number}_*.safetensors, which is not in ${folder}`);
}

/** The number of the file with the network that a file was made with: "file 01" if it does not say. */
export function numberOfNetwork(file: GoldenFile): string {
  const { network } = file.metadataOr<{ network?: unknown }>("config", {});
  return /file (\w+)/.exec(String(network ?? file.text("network")))?.[1] ?? "01";
}

/** Networks by name. Separate from the networks, so that showing help does not load libtorch. */

/** The names of the networks: DDPM++ and NCSN++ (Song et al. 2021), ADM (Dhariwal and Nichol 2021), a perceptron. */
export const architectures = ["ddpmpp", "ncsnpp", "adm", "mlp"] as const;

/** The name of a network family. */
export type Architecture = (typeof architectures)[number];

/**
 * Precision of activations: float32; float32 with the factors of convolutions rounded to TF32, on GPUs that have it;
 * bfloat16; float16, on GPUs.
 */
export const precisions = ["fp32", "tf32", "bf16", "fp16"] as const;

/** The name of an activation precision; parameters, losses and targets are always float32. */
export type Precision = (typeof precisions)[number];

/** The settings that determine a network's size. */
export interface NetworkSize {
  /** Channels at full resolution; the width of a hidden layer of an mlp. */
  readonly modelChannels: number;
  /** Width of each resolution as a multiple of that. */
  readonly channelMult: readonly number[];
  /** Residual blocks at each resolution; hidden layers of an mlp. */
  readonly numBlocks: number;
  /** Resolutions with self-attention. */
  readonly attnResolutions: readonly number[];
}

const songSize: NetworkSize = { modelChannels: 128, channelMult: [2, 2, 2], numBlocks: 4, attnResolutions: [16] };

/** The published sizes, for CIFAR-10 (ddpmpp, ncsnpp) and ImageNet 64 (adm). */
export const defaultSizes: Readonly<Record<Architecture, NetworkSize>> = {
  ddpmpp: songSize,
  ncsnpp: songSize,
  adm: { modelChannels: 192, channelMult: [1, 2, 3, 4], numBlocks: 3, attnResolutions: [32, 16, 8] },
  mlp: { modelChannels: 128, channelMult: [1], numBlocks: 3, attnResolutions: [] },
};

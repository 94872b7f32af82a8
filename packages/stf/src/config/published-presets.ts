/**
 * Presets of published settings without stable targets: those of EDM (Karras et al. 2022, config F), and those of score_sde (Song et al.
 * 2021) for its continuous networks, in our units. The images are given with 'data'.
 */

import type { Preset, TrainOptions } from "./train-options.js";

const preset = (help: string, options: Partial<TrainOptions>): Preset => ({ help, options });

/** EDM at 64x64, unconditional. */
const edm64 = { batch: 256, cres: [1, 2, 2, 2], lr: 2e-4, augment: 0.15 };

const BATCH = 128;
/** The half-life, in millions of images, of an average whose decay per step is given. */
const halflife = (decay: number): number => Number(((BATCH * Math.log(0.5)) / Math.log(decay) / 1e6).toPrecision(4));

/**
 * score_sde on images of 64x64 or less: warm-up over 5000 steps, 1.3 million steps, mirror images drawn at random. Its clipping depends on
 * the scale of the loss, which 'ls' reproduces.
 */
const sde = {
  ...{ batch: BATCH, lr: 2e-4, lrRampup: (5000 * BATCH) / 1e6, duration: (1.3e6 * BATCH) / 1e6, clip: 1, dropout: 0.1 },
  ...{ cres: [1, 2, 2, 2], augment: 0, xflip: true },
};
/** Half the sum of squared errors; noise levels of data in [0, 1] are twice as large in [-1, 1]. */
const ve = { ...sde, precond: "ve", arch: "ncsnpp", ls: 0.5, ema: halflife(0.999), sigmaMin: 0.02 } as const;
/** The mean of squared errors over the values of an image. */
const vp = { ...sde, arch: "ddpmpp", ls: 1 / 3072, ema: halflife(0.9999) } as const;

/** Their names. */
export type PublishedPreset =
  | "edm-cifar10-cond-ddpmpp"
  | "edm-cifar10-cond-ncsnpp"
  | "edm-cifar10-uncond-ddpmpp"
  | "edm-cifar10-uncond-ncsnpp"
  | "edm-ffhq64-ddpmpp"
  | "edm-ffhq64-ncsnpp"
  | "edm-afhqv2-64-ddpmpp"
  | "edm-afhqv2-64-ncsnpp"
  | "edm-imagenet64"
  | "sde-cifar10-ve"
  | "sde-cifar10-vp"
  | "sde-cifar10-subvp"
  | "sde-celeba64-ve";

/** By name. */
export const publishedPresets: Readonly<Record<PublishedPreset, Preset>> = {
  "edm-cifar10-cond-ddpmpp": preset("CIFAR-10 by class as published by EDM, DDPM++", { arch: "ddpmpp", cond: true }),
  "edm-cifar10-cond-ncsnpp": preset("the same with NCSN++", { arch: "ncsnpp", cond: true }),
  "edm-cifar10-uncond-ddpmpp": preset("the same without classes, DDPM++", { arch: "ddpmpp" }),
  "edm-cifar10-uncond-ncsnpp": preset("the same with NCSN++", { arch: "ncsnpp" }),
  "edm-ffhq64-ddpmpp": preset("FFHQ at 64x64 as published by EDM", { ...edm64, arch: "ddpmpp", dropout: 0.05 }),
  "edm-ffhq64-ncsnpp": preset("the same with NCSN++", { ...edm64, arch: "ncsnpp", dropout: 0.05 }),
  "edm-afhqv2-64-ddpmpp": preset("AFHQv2 at 64x64 as published by EDM", { ...edm64, arch: "ddpmpp", dropout: 0.25 }),
  "edm-afhqv2-64-ncsnpp": preset("the same with NCSN++", { ...edm64, arch: "ncsnpp", dropout: 0.25 }),
  "edm-imagenet64": preset("ImageNet at 64x64 as published by EDM, with bf16 instead of fp16", {
    ...{ arch: "adm", cond: true, duration: 2500, batch: 4096, lr: 1e-4, ema: 50, dropout: 0.1, augment: 0 },
    ...{ precision: "bf16", ls: 100, tick: 200 },
  }),
  "sde-cifar10-ve": preset("CIFAR-10 with the optimization of score_sde, VE, NCSN++", { ...ve, sigmaMax: 100 }),
  "sde-cifar10-vp": preset("the same, VP, DDPM++", { ...vp, precond: "vp" }),
  "sde-cifar10-subvp": preset("the same, sub-VP", { ...vp, precond: "subvp" }),
  "sde-celeba64-ve": preset("CelebA at 64x64 with the optimization of score_sde, VE, NCSN++", { ...ve, sigmaMax: 180 }),
};

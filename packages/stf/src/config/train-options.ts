/**
 * The options of `stf train`. An option that the published tools have, too, keeps its name and default.
 * A run without a preset gets other values, chosen by `automatic.ts`.
 */

import { architectures, precisions } from "../networks/architectures.js";
import { dataDeviations } from "../preconditioning/edm.js";
import { preconditioningNames } from "../preconditioning/table.js";
import { WARPED_REFERENCES } from "../targets/defaults.js";
import {
  choice,
  device,
  flag,
  folderName,
  integer,
  integerOr,
  integers,
  number,
  numberOr,
  rangeOr,
  shareOrPath,
  text,
  texts,
  type Values,
} from "./fields.js";
import { type PublishedPreset, publishedPresets } from "./published-presets.js";

/** The options of `stf train`, by name. */
export const trainFields = {
  outdir: text({ default: "runs", help: "parent folder, in which the run gets a numbered folder", placeholder: "DIR" }),
  data: text<string | null>({
    default: null,
    help: "training images: a folder or zip of PNG and JPEG, CIFAR-10 or CIFAR-100, MNIST-style idx files, or an npz",
    placeholder: "PATH",
  }),
  heldOut: shareOrPath({
    default: null,
    help: "images not to train on, whose loss is reported: a path, or a share of the data such as 0.05",
  }),
  cache: flag({
    default: false,
    help: "keep decoded images in ~/.cache/stf (or XDG_CACHE_HOME), for later runs on the same files",
  }),
  desc: folderName({ default: null, help: "text appended to the name of the run folder", placeholder: "TEXT" }),
  name: folderName({ default: null, help: "name of the run folder, instead of a numbered one" }),
  stf: flag({
    default: false,
    help: "train on stable targets; without it, on single clean images (denoising score matching)",
  }),
  rbatch: integerOr("all", {
    default: 4096,
    min: 1,
    help: "reference images per stable target, including the sample's own; all: the whole data set",
  }),
  stfShard: flag({
    default: false,
    help: "with several processes, 'rbatch' counts for each of them: their references are one set, which they divide",
  }),
  stfSigma: rangeOr("auto", {
    default: "auto",
    help: "range of noise levels with stable targets; auto: wherever they can differ from the clean image by 1e-4",
  }),
  stfAugment: choice(["consistent", "independent"], {
    default: "consistent",
    help: "consistent: references get the transform of their sample; independent: the published behavior, which is biased",
  }),
  rbatchAugment: integer({
    default: WARPED_REFERENCES,
    min: 1,
    help: "reference images for a warped sample, including its own",
  }),
  cond: flag({ default: false, help: "condition the network on class labels, which the data must have" }),
  stfRef: choice(["class", "any"], {
    default: "class",
    help: "with --cond, references share the sample's class; any: the published behavior, which is biased",
  }),
  labelDropout: number({
    default: 0,
    min: 0,
    max: 1,
    help: "with --cond, probability of dropping a sample's label, which guidance requires",
  }),
  arch: choice(architectures, { default: "ddpmpp", help: "network family" }),
  precond: choice(preconditioningNames, {
    default: "edm",
    help: "preconditioning, with the process and the loss that go with it",
  }),
  pMean: number<number | null>({
    default: null,
    help: "with --precond=edm, mean of ln sigma, the logarithm of the noise level in training (default -1.2)",
  }),
  pStd: number<number | null>({
    default: null,
    above: 0,
    help: "with --precond=edm, standard deviation of ln sigma in training (default 1.2)",
  }),
  sigmaData: number<number | null>({
    default: null,
    min: dataDeviations.least,
    max: dataDeviations.most,
    help: "with --precond=edm, standard deviation of the images, in [-1, 1], for which inputs and outputs are scaled (default 0.5)",
  }),
  sigmaMin: number<number | null>({
    default: null,
    min: 0,
    help: "with --precond=edm or ve, lowest noise level that the network is trained on and draws with (default 0; ve 0.02)",
  }),
  sigmaMax: number<number | null>({
    default: null,
    above: 0,
    help: "with --precond=edm or ve, highest one (default none; ve 100)",
  }),
  analytic: integer({
    default: 0,
    min: 0,
    max: 1000,
    help: "Gaussians in the mixture, fitted to the images, that snapshots carry to replace the network at high noise; 0: none",
  }),
  trainBelow: numberOr(["auto", "off"], {
    default: "off",
    help: "with --analytic, train only on noise levels below this one; auto: below 1.5 times that from which the network is replaced",
  }),
  transfer: text<string | null>({
    default: null,
    help: "start from the network and weights in this file: a network snapshot, or any file that stf import reads",
    placeholder: "FILE",
  }),
  duration: number({ default: 200, above: 0, help: "length of the training, in millions of images" }),
  timeLimit: number<number | null>({
    default: null,
    above: 0,
    help: "stop training after this many minutes, counted anew whenever a run is resumed",
  }),
  batch: integer({ default: 512, min: 1, help: "images per step" }),
  batchGpu: integer<number | null>({
    default: null,
    min: 1,
    help: "images per forward pass; the gradient is still that of the whole batch",
  }),
  recompute: flag({
    default: false,
    help: "recompute activations in the backward pass: less memory, about a third more time",
  }),
  cbase: integer<number | null>({
    default: null,
    min: 4,
    help: "channels at full resolution (default 128; adm 192)",
  }),
  cres: integers<readonly number[] | null>({
    default: null,
    min: 1,
    help: "channel multiplier at each resolution (default 2,2,2; adm 1,2,3,4)",
  }),
  numBlocks: integer<number | null>({
    default: null,
    min: 1,
    max: 256,
    help: "residual blocks at each resolution, or hidden layers of an mlp (default 4; adm and mlp 3)",
  }),
  attn: integers<readonly number[] | null>({
    default: null,
    min: 0,
    help: "resolutions with self-attention; 0: none (default 16; adm 32,16,8)",
  }),
  lr: number({ default: 1e-3, above: 0, help: "peak learning rate of Adam" }),
  lrRampup: number({ default: 10, min: 0, help: "length of the learning rate's linear rise, in millions of images" }),
  clip: number<number | null>({
    default: null,
    above: 0,
    help: "largest norm of a step's gradient, to which a longer one is scaled (default: no limit)",
  }),
  maxSkipped: integer({
    default: 10,
    min: 1,
    help: "steps in a row that are skipped, because their gradients are not finite, until training counts as diverged",
  }),
  onDivergence: choice(["rollback", "stop"], {
    default: "rollback",
    help: "rollback: return to the latest sound state with half the learning rate, a few times at most",
  }),
  ema: number({ default: 0.5, min: 0, help: "half-life of the weight average, in millions of images" }),
  average: choice(["halflife", "power"], {
    default: "halflife",
    help: "weight average. halflife: one, as published; power: two whose widths grow with the run, from which stf ema makes others afterwards",
  }),
  xflip: flag({ default: false, help: "add mirror images, which doubles the data set" }),
  dropout: number({ default: 0.13, min: 0, below: 1, help: "dropout probability; an mlp has no dropout" }),
  augment: number({
    default: 0.12,
    min: 0,
    max: 1,
    help: "probability of each augmentation of the training images; 0: none",
  }),
  precision: choice(precisions, {
    default: "fp32",
    help: "precision of the activations; weights and targets stay fp32; tf32 and fp16 are for GPUs",
  }),
  device: device({ default: "cpu", help: "device to compute on" }),
  ls: number({ default: 1, above: 0, help: "constant factor on the loss" }),
  tick: number({ default: 50, above: 0, help: "thousands of images between lines of statistics" }),
  snap: integer({ default: 50, min: 1, help: "ticks between network snapshots" }),
  dump: integer({ default: 500, min: 1, help: "ticks between training states" }),
  keep: integerOr("all", {
    default: "all",
    min: 1,
    help: "training states to keep: the latest N, and fewer and fewer of the earlier ones",
  }),
  saveEvery: number({
    default: 15,
    min: 0,
    help: "longest time between saves of state and snapshot, in minutes; the first save comes after one; 0: ticks only",
  }),
  tensorboard: flag({
    default: false,
    help: "write statistics, sample images and options as TensorBoard event files into the run folder, too",
  }),
  metrics: texts<readonly string[] | null>({
    default: null,
    help: "numbers of quality to measure at snapshots, each with its number of images, such as fd5k,sw2k; off: none",
    placeholder: "NAME,...",
  }),
  metricsEvery: integer({ default: 1, min: 1, help: "with --metrics, snapshots between measurements" }),
  metricsFeatures: text<string | null>({
    default: null,
    help: "with --metrics, feature network: a file as in stf evaluate --features, or fashion-mnist",
    placeholder: "FILE",
  }),
  seed: integer<number | null>({
    default: null,
    min: 0,
    help: "seed of all random numbers; drawn at random when left out",
  }),
} as const;

/** The options of `stf train`, with their values. */
export type TrainOptions = Values<typeof trainFields>;

/** Settings that belong together. */
export interface Preset {
  /** One line: its purpose. */
  readonly help: string;
  /** The options it sets. */
  readonly options: Partial<TrainOptions>;
  /** Features for numbers of quality, if some for its images come along. */
  readonly features?: string;
}

/** Karras et al. (2022) and Xu et al. (2023) on CIFAR-10, unconditional, for eight GPUs; give the images with --data. */
const cifar10 = { stf: true, rbatch: 1024, batch: 512, duration: 200, lr: 1e-3, lrRampup: 10, ema: 0.5, dropout: 0.13 };
/** Karras et al. (2022) at 64x64: images of `stf dataset convert --resolution=64x64`, given with --data. */
const published64 = { batch: 256, cres: [1, 2, 2, 2], duration: 200, lr: 2e-4, lrRampup: 10, ema: 0.5, augment: 0.15 };
/** The same with stable targets, as Xu et al. (2023) use them. */
const stable = { stf: true, rbatch: 1024 };
/** The published behavior where our defaults differ. */
const published = {
  ...{ stfAugment: "independent", stfRef: "any", stfSigma: [0, Number.MAX_VALUE] },
  dump: 50,
} as const satisfies Partial<TrainOptions>;

/** Where Debian installs it. */
export const fashionMnist = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz";

/** The name of a preset. */
export type PresetName =
  | "auto"
  | "published"
  | "fashion-mnist"
  | "cifar10-ddpmpp"
  | "cifar10-ncsnpp"
  | "cifar10-ddpmpp-published"
  | "cifar10-ncsnpp-published"
  | "celeba64"
  | "ffhq64"
  | "afhqv2-64"
  | "imagenet64"
  | PublishedPreset;

/** Settings that belong together. The published schedules are meant for days on eight GPUs; short runs need their own. */
export const presets: Readonly<Record<PresetName, Preset>> = {
  auto: {
    help: "the default: stable targets; the rest is chosen to suit the data, the time and this machine's speed",
    options: { stf: true },
  },
  published: {
    help: "the published settings: plain denoising score matching, a large network, days on several GPUs",
    options: {},
  },
  "fashion-mnist": {
    help: "28x28 garments in minutes on two cores: a small network, stable targets",
    options: {
      data: fashionMnist,
      stf: true,
      rbatch: 1024,
      cbase: 32,
      cres: [1, 1, 2],
      numBlocks: 1,
      attn: [7],
      batch: 32,
      lr: 1e-3,
      lrRampup: 0.002,
      ema: 0.01,
      dropout: 0,
      augment: 0,
      analytic: 30,
      duration: 0.2,
      timeLimit: 5.25,
      tick: 2,
      seed: 0,
    },
    features: "fashion-mnist",
  },
  "cifar10-ddpmpp": {
    help: "CIFAR-10 as published, DDPM++, with targets consistent with labels and augmentation",
    options: { ...cifar10, arch: "ddpmpp" },
  },
  "cifar10-ncsnpp": {
    help: "the same with NCSN++",
    options: { ...cifar10, arch: "ncsnpp" },
  },
  "cifar10-ddpmpp-published": {
    help: "CIFAR-10 as published, DDPM++, with the published targets",
    options: { ...cifar10, ...published, arch: "ddpmpp" },
  },
  "cifar10-ncsnpp-published": {
    help: "the same with NCSN++",
    options: { ...cifar10, ...published, arch: "ncsnpp" },
  },
  celeba64: {
    help: "CelebA at 64x64 with the options of ffhq64 and the dropout of score_sde: none were published for this network",
    options: { ...published64, ...stable, arch: "ddpmpp", dropout: 0.1 },
  },
  ffhq64: {
    help: "FFHQ at 64x64 as published by EDM, with stable targets",
    options: { ...published64, ...stable, arch: "ddpmpp", dropout: 0.05 },
  },
  "afhqv2-64": {
    help: "AFHQv2 at 64x64 as published by EDM, with stable targets",
    options: { ...published64, ...stable, arch: "ddpmpp", dropout: 0.25 },
  },
  imagenet64: {
    help: "ImageNet at 64x64 as published by EDM, by class, with stable targets and bf16 instead of fp16",
    options: {
      ...stable,
      arch: "adm",
      cond: true,
      batch: 4096,
      duration: 2500,
      lr: 1e-4,
      lrRampup: 10,
      ema: 50,
      dropout: 0.1,
      augment: 0,
      precision: "bf16",
      ls: 100,
      tick: 200,
    },
  },
  ...publishedPresets,
};

/** The options of `stf analyze`: what to analyse, at which noise levels, and how precisely. */

import { preconditioningNames } from "../preconditioning/table.js";
import { choice, device, flag, integer, integersOr, number, shareOrPath, text, texts, type Values } from "./fields.js";

/** Mixtures that are known by name. */
export const mixtureNames = ["two-gaussians", "ring-of-gaussians"] as const;

/** Noise levels beyond these overflow, as squares of squares. */
export const analyzedLevels = { low: 1e-15, high: 1e15 } as const;

/** The options of `stf analyze`, by name. */
export const analyzeFields = {
  data: text<string | null>({
    default: null,
    help: "images, as for stf train",
    placeholder: "PATH",
  }),
  mixture: text<string | null>({
    default: null,
    help: "instead of images, a mixture of Gaussians: two-gaussians, ring-of-gaussians, or a JSON file with its components",
    placeholder: "NAME|FILE",
  }),
  dimension: integer({ default: 2, min: 1, max: 100_000, help: "dimension of a mixture that is given by name" }),
  deviation: number<number | null>({
    default: null,
    min: 0,
    help: "standard deviation of the components of a mixture that is given by name (default 0.2 of two, 0.1 of a ring)",
  }),
  cond: flag({
    default: false,
    help: "look for sources in the class of the sample, as for class-conditional networks",
  }),
  xflip: flag({ default: false, help: "add mirror images, which doubles the data set" }),
  cache: flag({
    default: false,
    help: "keep decoded images in ~/.cache/stf (or XDG_CACHE_HOME), for later runs on the same files",
  }),
  precond: choice(preconditioningNames, {
    default: "edm",
    help: "preconditioning, whose process and loss are used",
  }),
  levels: integer({ default: 40, min: 1, max: 1000, help: "number of noise levels" }),
  sigmaMin: number<number | null>({
    default: null,
    min: analyzedLevels.low,
    max: analyzedLevels.high,
    help: "lowest noise level (default 0.002, or the preconditioning's)",
  }),
  sigmaMax: number<number | null>({
    default: null,
    min: analyzedLevels.low,
    max: analyzedLevels.high,
    help: "highest noise level (default 80, or the preconditioning's)",
  }),
  references: integersOr("all", {
    default: [1, 16, 128, 1024, "all"],
    min: 1,
    help: "numbers of references of stable targets, 1 always among them; all: the whole data set, or class",
  }),
  num: integer({ default: 256, min: 2, help: "noisy samples at each level" }),
  fraction: number({
    default: 0.1,
    above: 0,
    below: 1,
    help: "wanted fraction of the variance at its peak, for the suggested number of references",
  }),
  network: texts<readonly string[] | null>({
    default: null,
    help: "network snapshots whose errors to measure, or run folders, for the latest one of each",
    placeholder: "FILE,...",
  }),
  networkNum: integer({ default: 64, min: 2, help: "noisy samples at each level for networks" }),
  heldOut: shareOrPath({
    default: null,
    help: "images that the networks were not trained on: a path, or the share of the data that training held out",
  }),
  checkBias: flag({
    default: false,
    help: "also measure the bias of regression on stable targets, as computed here and as published",
  }),
  outdir: text({
    default: "analysis",
    help: "folder for variance.json, variance.html and variance.svg, which are replaced",
    placeholder: "DIR",
  }),
  seed: integer({ default: 0, min: 0, help: "seed of the noisy samples and references" }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf analyze`, with their values. */
export type AnalyzeCommandOptions = Values<typeof analyzeFields>;

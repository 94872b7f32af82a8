/** The options of `stf evaluate`: what to evaluate, against what, by which metrics, and how images are drawn. */

import { metricAliases, metricNames } from "../run/evaluation.js";
import { choices, type Field, integer, text, texts, type Values } from "./fields.js";
import { generateFields } from "./generate-options.js";

/** Where features come from: `stf evaluate` and `stf fid` share it. */
export const featuresField = (): Field<string | null> =>
  text<string | null>({
    default: null,
    help: "feature network: a file with the Inception of FID, one that stf features train wrote, or fashion-mnist for the one that comes along",
    placeholder: "FILE",
  });

const { outdir, subdirs, grid, trajectory, seeds, image, mask, colorize, fromSigma, network, ...drawingFields } =
  generateFields;

/** The options of `stf evaluate`, by name. */
export const evaluateFields = {
  network: texts<readonly string[] | null>({
    default: null,
    help: "network snapshots to draw images from and evaluate, or run folders, for all of their snapshots",
    placeholder: "FILE,...",
  }),
  images: texts<readonly string[] | null>({
    default: null,
    help: "sets of images to evaluate: folders, zips, npz",
    placeholder: "PATH,...",
  }),
  ref: text<string | null>({
    default: null,
    help: "reference: the training images, or statistics of their features (*.npz), which allow fid and is only",
    placeholder: "PATH",
  }),
  refNum: integer<number | null>({
    default: null,
    min: 2,
    help: "images of the reference, chosen at random and always the same; all when left out",
  }),
  /** What sets of images are described by. */
  features: featuresField(),
  metrics: choices<(typeof metricNames)[number], readonly (typeof metricNames)[number][] | null>(metricNames, {
    default: null,
    aliases: metricAliases,
    help: "what to compute, separated by commas, also by printed names such as fid and sw (default: all that the reference and the features allow)",
  }),
  num: integer({ default: 5000, min: 2, help: "images to draw, or to choose from each set" }),
  seed: integer({
    default: 0,
    min: 0,
    max: 2 ** 32 - 1,
    help: "seed of the first image drawn, and of the choice of images from a set",
  }),
  dest: text<string | null>({
    default: null,
    help: "JSON file with the numbers and their protocols",
    placeholder: "FILE",
  }),
  pairs: text<string | null>({
    default: null,
    help: "PNG of the images most like a training image, each on the left of its nearest one",
    placeholder: "FILE",
  }),
  ...drawingFields,
} as const;

/** The options of `stf evaluate`, with their values. */
export type EvaluateCommandOptions = Values<typeof evaluateFields>;

/** The options that decide how images are drawn. */
export const drawingKeys = Object.keys(drawingFields) as readonly (keyof typeof drawingFields)[];

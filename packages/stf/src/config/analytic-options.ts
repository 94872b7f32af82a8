/** The options of `stf analytic`. */

import type { ImageShape } from "../common/image-shape.js";
import { device, integer, shareOrPath, text, type Values } from "./fields.js";

/**
 * The noise level for which mixtures are fitted, and above which they may be used, for images on [-1, 1]. What is fitted here is as
 * good at higher levels as what is fitted there, and no network is so bad that it should be replaced below.
 */
export const FIT_LEVEL = 0.5;

/** Directions of a Gaussian at most, and bytes of the directions of all of them. */
const MOST_DIRECTIONS = 64;
const MOST_BYTES = 4 * 2 ** 20;

const bytesOf = (directions: number, { channels, height, width }: ImageShape): number =>
  2 * directions * channels * height * width;

/** Gaussians unless a number is given: 30 for small images, and 10 for those of which only 10 can have all their directions. */
export const usualComponents = (shape: ImageShape): number =>
  Math.min(30, Math.max(10, Math.floor(MOST_BYTES / bytesOf(MOST_DIRECTIONS, shape))));

/** Directions of each of some Gaussians, so that a snapshot can carry them. */
export const directionsFor = (components: number, shape: ImageShape): number =>
  Math.max(1, Math.min(MOST_DIRECTIONS, Math.floor(MOST_BYTES / bytesOf(components, shape))));

/** The options of `stf analytic`, by name. */
export const analyticFields = {
  network: text<string | null>({
    default: null,
    help: "network snapshot, or a run folder for its latest one",
    placeholder: "PATH",
  }),
  data: text<string | null>({
    default: null,
    help: "the images that the network was trained on: a folder or zip of PNG and JPEG, CIFAR-10, or an MNIST-style idx file",
    placeholder: "PATH",
  }),
  dest: text<string | null>({
    default: null,
    help: "network snapshot to write, named *.safetensors: the network with the analytic denoiser",
    placeholder: "FILE",
  }),
  components: integer<number | null>({
    default: null,
    min: 1,
    max: 1000,
    help: "Gaussians in the mixture at most (default 30, fewer for images of more than 1000 values)",
  }),
  heldOut: shareOrPath({
    default: null,
    help: "images to compare on, a path or a share of the data; a few hundred of the data when left out. If the network was trained on them, it looks better than it is",
  }),
  num: integer({ default: 512, min: 2, help: "images to compare on at most" }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf analytic`, with their values. */
export type AnalyticCommandOptions = Values<typeof analyticFields>;

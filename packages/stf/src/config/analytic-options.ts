/** The options of `stf analytic`. */

import { device, integer, shareOrPath, text, type Values } from "./fields.js";

/**
 * The noise level for which mixtures are fitted, and above which they may be used, for images on [-1, 1]. What is fitted here is as
 * good at higher levels as what is fitted there, and no network is so bad that it should be replaced below.
 */
export const FIT_LEVEL = 0.5;

/** Gaussians of an analytic denoiser unless something else is asked for. */
export const USUAL_COMPONENTS = 10;

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
  components: integer({ default: USUAL_COMPONENTS, min: 1, max: 1000, help: "Gaussians in the mixture at most" }),
  heldOut: shareOrPath({
    default: null,
    help: "images to compare on, a path or a share of the data; a few hundred of the data when left out. If the network was trained on them, it looks better than it is",
  }),
  num: integer({ default: 512, min: 2, help: "images to compare on at most" }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf analytic`, with their values. */
export type AnalyticCommandOptions = Values<typeof analyticFields>;

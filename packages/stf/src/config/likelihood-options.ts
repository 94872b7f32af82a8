/** The options of `stf likelihood`. */

import { processNames } from "../processes/by-name.js";
import { edmSchedule } from "../sampling/steps.js";
import { choice, device, integer, number, numberOr, text, type Values } from "./fields.js";

/** The options of `stf likelihood`, by name. */
export const likelihoodFields = {
  network: text<string | null>({
    default: null,
    help: "network snapshot to evaluate, or a run folder for its latest one",
    placeholder: "PATH",
  }),
  data: text<string | null>({
    default: null,
    help: "images: a folder or zip of PNG and JPEG, CIFAR-10, or an MNIST-style idx file",
    placeholder: "PATH",
  }),
  num: integer<number | null>({ default: null, min: 1, help: "the first N images; all when left out" }),
  class: choice(["data", "none"], {
    default: "data",
    help: "whether a class-conditional network gets the class of each image",
  }),
  probes: integer({ default: 1, min: 1, help: "Hutchinson probes per image, for the divergence" }),
  repeats: integer({ default: 1, min: 1, help: "dequantization draws per image" }),
  batch: integer({ default: 64, min: 1, help: "images computed at once" }),
  process: choice(processNames, {
    default: "edm",
    help: "process whose probability flow turns images into noise",
  }),
  sigma_min: number({ default: edmSchedule.sigmaMin, above: 0, help: "noise level of the images, for edm and ve" }),
  sigma_max: number({
    default: edmSchedule.sigmaMax,
    above: 0,
    help: "noise level treated as pure noise, for edm and ve",
  }),
  analyticAbove: numberOr(["auto", "off"], {
    default: "auto",
    help: "noise level above which the snapshot's analytic denoiser replaces the network in the flow; auto: where it was found to be better",
  }),
  rtol: number({ default: 1e-5, above: 0, help: "relative error tolerance of a step" }),
  atol: number({ default: 1e-5, above: 0, help: "absolute error tolerance of a step" }),
  seed: integer({ default: 0, min: 0, help: "seed of the probes and the dequantization noise" }),
  dest: text<string | null>({
    default: null,
    help: "JSON file with the bits per dimension of every image",
    placeholder: "FILE",
  }),
  device: device({ default: "cpu", help: "device to compute on" }),
} as const;

/** The options of `stf likelihood`, with their values. */
export type LikelihoodCommandOptions = Values<typeof likelihoodFields>;

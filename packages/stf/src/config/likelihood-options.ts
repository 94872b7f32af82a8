/** The options of `stf likelihood`. */

import { processNames } from "../processes/by-name.js";
import { edmSchedule } from "../sampling/steps.js";
import { choice, device, integer, number, text, type Values } from "./fields.js";

/** The options of `stf likelihood`, by name. */
export const likelihoodFields = {
  network: text<string | null>({ default: null, help: "network snapshot to ask", placeholder: "FILE" }),
  data: text<string | null>({
    default: null,
    help: "images: a folder or zip of PNG and JPEG images, CIFAR-10, or an MNIST-style file",
    placeholder: "PATH",
  }),
  num: integer<number | null>({ default: null, min: 1, help: "the first N images; all when left out" }),
  class: choice(["data", "none"], {
    default: "data",
    help: "whether a class-conditional network is told the class of an image",
  }),
  probes: integer({ default: 1, min: 1, help: "random probes of the divergence for an image" }),
  repeats: integer({ default: 1, min: 1, help: "how often each image is spread over its grey levels anew" }),
  batch: integer({ default: 64, min: 1, help: "images computed at once" }),
  process: choice(processNames, {
    default: "edm",
    help: "the flow along which images become noise",
  }),
  sigma_min: number({ default: edmSchedule.sigmaMin, above: 0, help: "noise level of the images, for edm and ve" }),
  sigma_max: number({
    default: edmSchedule.sigmaMax,
    above: 0,
    help: "noise level that counts as noise alone, for edm and ve",
  }),
  rtol: number({ default: 1e-5, above: 0, help: "largest error of a step relative to the state" }),
  atol: number({ default: 1e-5, above: 0, help: "largest error of a step whatever the state" }),
  seed: integer({ default: 0, min: 0, help: "seed of the probes and of the noise in the grey levels" }),
  dest: text<string | null>({ default: null, help: "JSON with the value of every image", placeholder: "FILE" }),
  device: device({ default: "cpu", help: "where to compute" }),
} as const;

/** The options of `stf likelihood`, with their values. */
export type LikelihoodCommandOptions = Values<typeof likelihoodFields>;

/** The options of `stf generate`, with the published names and defaults. */

import { choice, device, integer, integers, number, text, type Values } from "./fields.js";

export const generateFields = {
  network: text<string | null>({ default: null, help: "network snapshot to draw from", placeholder: "FILE" }),
  outdir: text<string | null>({ default: null, help: "folder for the images, one PNG per seed", placeholder: "DIR" }),
  grid: text<string | null>({ default: null, help: "one PNG with all images side by side", placeholder: "FILE" }),
  seeds: integers({
    default: Array.from({ length: 64 }, (_, i) => i),
    min: 0,
    help: "one image per seed (default 0-63)",
  }),
  class: integer<number | null>({
    default: null,
    min: 0,
    help: "class of all images, for a class-conditional network; drawn from the seeds when left out",
  }),
  batch: integer({ default: 64, min: 1, help: "images drawn at once" }),
  steps: integer({ default: 18, min: 2, help: "sampler steps; the network is evaluated 2 N - 1 times" }),
  sigma_min: number({ default: 0.002, above: 0, help: "lowest noise level" }),
  sigma_max: number({ default: 80, above: 0, help: "highest noise level" }),
  rho: number({ default: 7, above: 0, help: "exponent of the schedule" }),
  S_churn: number({ default: 0, min: 0, help: "amount of noise that is added on the way; 0 is deterministic" }),
  S_min: number({ default: 0, min: 0, help: "lowest noise level at which noise is added" }),
  S_max: number({ default: Number.POSITIVE_INFINITY, min: 0, help: "highest noise level at which noise is added" }),
  S_noise: number({ default: 1, min: 0, help: "standard deviation of the added noise" }),
  precision: choice(["fp32", "bf16"], { default: "fp32", help: "precision of the activations" }),
  device: device({ default: "cpu", help: "where to compute" }),
} as const;

export type GenerateCommandOptions = Values<typeof generateFields>;

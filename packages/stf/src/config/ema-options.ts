/** The options of `stf ema`. */

import { integer, numbers, text, type Values } from "./fields.js";

/** The options of `stf ema`, by name. */
export const emaFields = {
  width: numbers<readonly number[] | null>({
    default: null,
    min: 0.01,
    max: 0.28,
    help: "widths of the averages, sigma_rel: the standard deviation of their weights over time, as a share of the training so far",
  }),
  images: integer<number | null>({
    default: null,
    min: 1,
    help: "number of training images at which to average, one of those in the names of the averages (default: the latest)",
  }),
  dest: text<string | null>({
    default: null,
    help: "network snapshot to write, named *.safetensors; for several widths a folder",
    placeholder: "PATH",
  }),
} as const;

/** The options of `stf ema`, with their values. */
export type EmaOptions = Values<typeof emaFields>;

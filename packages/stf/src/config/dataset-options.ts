/** The options of `stf dataset`. Those of the published tool keep their names and meaning. */

import { transformNames } from "../data/transforms.js";
import { choice, flag, imageSize, integer, text, type Values } from "./fields.js";

const split = choice<"train" | "test", "train" | "test" | null>(["train", "test"], {
  default: null,
  help: "part of CIFAR, of MNIST-style sets (default train), or of a folder that holds train and test",
});

/** The options of `stf dataset convert`, by name. */
export const convertFields = {
  source: text<string | null>({
    default: null,
    help: "images: a folder, zip or tar of image files, CIFAR-10 or CIFAR-100, MNIST-style idx files, or a data set to convert again",
    placeholder: "PATH",
  }),
  dest: text<string | null>({
    default: null,
    help: "data set to write: a file if the name ends in zip, which is replaced, else a folder, which must be new or empty",
    placeholder: "PATH",
  }),
  maxImages: integer<number | null>({
    default: null,
    min: 1,
    help: "the first N images of the source; all when left out",
  }),
  transform: choice(transformNames, {
    default: "none",
    help: "none: the whole image resized; center-crop: the largest square; center-crop-wide: bars above and below; the crops need --resolution",
  }),
  resolution: imageSize({
    default: null,
    help: "width and height, by Lanczos resampling; left out: those of the source",
  }),
  crop: integer<number | null>({
    default: null,
    min: 1,
    help: "first cut out a centred square with this side; smaller images are left out",
  }),
  pad: integer<number | null>({
    default: null,
    min: 0,
    max: 1024,
    help: "black pixels added on every side (default 0; 2 for 28x28 images in idx files, which become 32x32)",
  }),
  channels: integer<number | null>({
    default: null,
    min: 1,
    max: 3,
    help: "1: grey; 3: RGB (default: 1 if all images are grey)",
  }),
  background: choice(["stored", "black", "white"], {
    default: "stored",
    help: "colour behind transparent pixels; stored: that in the file, which programs may have set to anything",
  }),
  /** A part of the source. */
  split,
  labels: flag({ default: true, help: "class labels, if there are any" }),
  skipUnreadable: flag({ default: false, help: "leave out files that cannot be read, and name them" }),
} as const;

/** The options of `stf dataset convert`, with their values. */
export type ConvertOptions = Values<typeof convertFields>;

/** The options of `stf dataset check`, by name. */
export const checkFields = {
  json: text<string | null>({ default: null, help: "JSON file with everything found", placeholder: "FILE" }),
  /** A part of the source. */
  split,
  near: flag({ default: true, help: "search for near duplicates, which takes most of the time of a large set" }),
} as const;

/** The options of `stf dataset check`, with their values. */
export type CheckOptions = Values<typeof checkFields>;

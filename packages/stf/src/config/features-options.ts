/** The options of `stf features train`. */

import { device, flag, integer, number, text, type Values } from "./fields.js";

/** The options of `stf features train`, by name. */
export const featuresFields = {
  data: text<string | null>({
    default: null,
    help: "labelled images: a folder or zip of PNG and JPEG with classes, CIFAR-10, or an MNIST-style idx file",
    placeholder: "PATH",
  }),
  testData: text<string | null>({
    default: null,
    help: "labelled images that measure the accuracy; a tenth of the data when left out",
    placeholder: "PATH",
  }),
  dest: text<string | null>({
    default: null,
    help: "the classifier to write, named *.safetensors",
    placeholder: "FILE",
  }),
  dim: integer({ default: 128, min: 8, max: 4096, help: "number of features" }),
  width: integer({
    default: 32,
    min: 4,
    max: 1024,
    help: "channels of the first stage; later ones have up to four times as many",
  }),
  epochs: integer<number | null>({
    default: null,
    min: 1,
    help: "how many times each image is seen (default: about 250,000 images in all)",
  }),
  batch: integer({ default: 128, min: 1, help: "images in a step" }),
  lr: number({ default: 0.005, above: 0, help: "largest learning rate" }),
  xflip: flag({ default: false, help: "mirror half of the images in training: for photos, not for digits or letters" }),
  seed: integer({ default: 0, min: 0, help: "seed of the weights, the order of the images and the division" }),
  device: device({ default: "cpu", help: "device to train on" }),
} as const;

/** The options of `stf features train`, with their values. */
export type FeaturesCommandOptions = Values<typeof featuresFields>;

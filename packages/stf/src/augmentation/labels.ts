/** Augmentation labels, which condition the network on the transform of its input. */

import { type Device, type Tensor, tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { type AugmentationParameters, noTransform, type Transform } from "./parameters.js";
import { type Augmentation, type AugmentationSettings, augmentations } from "./settings.js";

type Entries = (transform: Transform, settings: AugmentationSettings, shape: ImageShape) => readonly number[];

/** Zero for the identity, and smooth in the angles (Karras et al. 2022, table 6). */
const entries: Readonly<Record<Augmentation, Entries>> = {
  xflip: ({ xflip }) => [xflip],
  yflip: ({ yflip }) => [yflip],
  rotateInt: ({ rotateInt: turns }) => [Number(turns === 1 || turns === 2), Number(turns === 2 || turns === 3)],
  translateInt: ({ translateIntX, translateIntY }, { strengths: { translateIntMax } }, { width, height }) => [
    translateIntX / (width * translateIntMax),
    translateIntY / (height * translateIntMax),
  ],
  scale: ({ scale }) => [scale],
  rotateFrac: ({ rotateFrac }) => [Math.cos(rotateFrac) - 1, Math.sin(rotateFrac)],
  aniso: ({ aniso, anisoDirection }) => [aniso * Math.cos(anisoDirection), aniso * Math.sin(anisoDirection)],
  translateFrac: ({ translateFracX, translateFracY }) => [translateFracX, translateFracY],
  brightness: ({ brightness }) => [brightness],
  contrast: ({ contrast }) => [contrast],
  lumaflip: ({ lumaflip }) => [lumaflip],
  hue: ({ hue }) => [Math.cos(hue) - 1, Math.sin(hue)],
  saturation: ({ saturation }) => [saturation],
};

function labelsOf(transform: Transform, settings: AugmentationSettings, shape: ImageShape): number[] {
  const used = augmentations.filter((name) => settings.multipliers[name] > 0);
  return used.flatMap((name) => entries[name](transform, settings, shape));
}

/** Number of label entries of the transforms in use: 9 in the published training. */
export function augmentDim(settings: AugmentationSettings): number {
  return labelsOf(noTransform, settings, { channels: 1, height: 1, width: 1 }).length;
}

/** The labels of each image, float32 `[B, augmentDim]`: the transforms in use, in the order of the published pipe. */
export function augmentationLabels(parameters: AugmentationParameters, device: Device = "cpu"): Tensor {
  const { transforms, settings, shape } = parameters;
  const rows = transforms.map((transform) => labelsOf(transform, settings, shape));
  return tensor(Float32Array.from(rows.flat()), { shape: [transforms.length, augmentDim(settings)], device });
}

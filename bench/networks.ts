/** The measured networks, and random images for them. */

import { type Device, randint } from "@stf/torch";
import { defaultSizes, ImageBank, type ImageShape, type NetworkConfig } from "stf";
import type { Place } from "./place.js";

/** A network as it is measured. */
export interface BenchNetwork {
  /** Its name in rows. */
  readonly label: string;
  /** Images in a training step, on a CPU and on a GPU. */
  readonly batch: { readonly cpu: number; readonly gpu: number };
  readonly config: NetworkConfig;
}

const shape: ImageShape = { channels: 3, height: 32, width: 32 };

/** In the published sizes, on images of the size of CIFAR-10's. */
const published = (arch: "ddpmpp" | "ncsnpp" | "adm"): NetworkConfig => ({
  arch,
  precond: "edm",
  shape,
  dropout: 0.13,
  ...defaultSizes[arch],
});

export const networks = {
  small: {
    label: "small U-Net",
    batch: { cpu: 16, gpu: 512 },
    config: {
      arch: "ddpmpp",
      precond: "edm",
      shape,
      modelChannels: 32,
      channelMult: [1, 2, 2],
      numBlocks: 2,
      attnResolutions: [16],
      dropout: 0.1,
    },
  },
  ddpmpp: { label: "ddpmpp", batch: { cpu: 4, gpu: 128 }, config: published("ddpmpp") },
  ncsnpp: { label: "ncsnpp", batch: { cpu: 4, gpu: 128 }, config: published("ncsnpp") },
  adm: { label: "adm", batch: { cpu: 2, gpu: 64 }, config: published("adm") },
} as const satisfies Record<string, BenchNetwork>;

/** The batch size of a network. */
export const batchOn = ({ batch }: BenchNetwork, { isGpu }: Place): number => (isGpu ? batch.gpu : batch.cpu);

/** The name of a measured network. */
export type NetworkName = keyof typeof networks;

export const networkNames = Object.keys(networks) as NetworkName[];

/** A network with augmentation labels as input. */
export const augmented = (config: NetworkConfig): NetworkConfig => ({ ...config, augmentDim: 9 });

/** Images of random bytes; with `classes`, equally many of each. */
export function randomBank(shape: ImageShape, count: number, classes = 0, device: Device = "cpu"): ImageBank {
  const pixels = randint(0, 256, [count, shape.channels * shape.height * shape.width], { dtype: "uint8", device });
  return new ImageBank(
    "random",
    shape,
    pixels,
    classes > 0 ? Int32Array.from({ length: count }, (_, i) => i % classes) : undefined,
  );
}

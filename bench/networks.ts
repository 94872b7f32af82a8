/** The networks that are measured, and random images for them. */

import { randint } from "@stf/torch";
import { defaultSizes, ImageBank, type ImageShape, type NetworkConfig } from "stf";

/** A network as it is measured. */
export interface BenchNetwork {
  /** What rows call it. */
  readonly label: string;
  /** Images in a training step. */
  readonly batch: number;
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
    batch: 16,
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
  ddpmpp: { label: "ddpmpp", batch: 4, config: published("ddpmpp") },
  ncsnpp: { label: "ncsnpp", batch: 4, config: published("ncsnpp") },
  adm: { label: "adm", batch: 2, config: published("adm") },
} as const satisfies Record<string, BenchNetwork>;

/** The name of a measured network. */
export type NetworkName = keyof typeof networks;

export const networkNames = Object.keys(networks) as NetworkName[];

/** A network that is told how its images were transformed. */
export const augmented = (config: NetworkConfig): NetworkConfig => ({ ...config, augmentDim: 9 });

/** Images of random bytes; with `classes`, as many of each. */
export function randomBank(shape: ImageShape, count: number, classes = 0): ImageBank {
  const pixels = randint(0, 256, [count, shape.channels * shape.height * shape.width], { dtype: "uint8" });
  return new ImageBank(
    "random",
    shape,
    pixels,
    classes > 0 ? Int32Array.from({ length: count }, (_, i) => i % classes) : undefined,
  );
}

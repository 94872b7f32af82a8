/** The measured networks, and random images for them. */

import { cat, type Device, randn, scope, type Tensor, tensor } from "@stf/torch";
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

/** Waves across an image along each axis; amplitudes fall with the frequency, as those of photographs do. */
const WAVES = 8;
/** Images made at a time. */
const CHUNK = 4096;

/** A wave for each pair of frequencies, the same in all channels, `[WAVES², D]`. */
function waves({ channels, height, width }: ImageShape): Tensor {
  const values: number[] = [];
  for (let ky = 0; ky < WAVES; ky++) {
    for (let kx = 0; kx < WAVES; kx++) {
      const amplitude = 1 / (1 + kx + ky);
      for (let c = 0; c < channels; c++) {
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) {
            const wave = Math.cos((Math.PI * ky * (y + 0.5)) / height) * Math.cos((Math.PI * kx * (x + 0.5)) / width);
            values.push(amplitude * wave);
          }
        }
      }
    }
  }
  return tensor(values, { shape: [WAVES ** 2, channels * height * width], dtype: "float32" });
}

/** Random images, smooth ones with some noise; with `classes`, equally many of each. */
export function randomBank(shape: ImageShape, count: number, classes = 0, device: Device = "cpu"): ImageBank {
  const pixels = scope(() => {
    const basis = waves(shape);
    const parts = Array.from({ length: Math.ceil(count / CHUNK) }, (_, i) => Math.min(CHUNK, count - i * CHUNK)).map(
      (size) =>
        scope(() => {
          const smooth = randn([size, WAVES ** 2])
            .matmul(basis)
            .mul(40)
            .add(128);
          return smooth.add(randn(smooth.shape).mul(20)).clamp(0, 255).to({ dtype: "uint8", device });
        }),
    );
    return cat(parts);
  });
  return new ImageBank(
    "random",
    shape,
    pixels,
    classes > 0 ? Int32Array.from({ length: count }, (_, i) => i % classes) : undefined,
  );
}

/** Noise that depends only on an image's own seed, not on its batch. */

import { type Device, type DType, Generator, randint, randn, scope, stack, type Tensor } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";

/** One generator per image, seeded with the low 32 bits of its seed. */
export class SeededNoise {
  readonly #generators: readonly Generator[];
  readonly #device: Device;

  /** @param seeds - whole numbers from 0 on, one per image */
  constructor(seeds: readonly number[], device: Device = "cpu") {
    this.#device = device;
    this.#generators = seeds.map((seed) => new Generator(seed % 2 ** 32, device));
  }

  /** Standard normal values, `[seeds.length, ...shape]`: the next ones in each image's stream. */
  draw(shape: readonly number[], dtype: DType): Tensor {
    return scope(() =>
      stack(this.#generators.map((generator) => randn(shape, { generator, dtype, device: this.#device }))),
    );
  }

  /** Whole numbers from 0 to bound - 1: the next one in each image's stream. */
  integers(bound: number): number[] {
    return this.#generators.map((generator) =>
      scope(() => randint(0, bound, [1], { generator, device: this.#device }).item()),
    );
  }

  /** Frees the generators. */
  dispose(): void {
    for (const generator of this.#generators) generator.dispose();
  }
}

/** The class that each seed gives its image: a whole number from its stream, after the image's initial noise. */
export function drawnClasses(
  seeds: readonly number[],
  { channels, height, width }: ImageShape,
  labelDim: number,
  device: Device = "cpu",
): number[] {
  return seeds.flatMap((seed) => {
    const noise = new SeededNoise([seed], device);
    try {
      noise.draw([channels, height, width], "float32").dispose();
      return noise.integers(labelDim);
    } finally {
      noise.dispose();
    }
  });
}

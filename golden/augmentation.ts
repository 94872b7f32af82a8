/** The augmentation pipeline, from stored random draws. */

import { scope } from "@stf/torch";
import {
  type Augmentation,
  type AugmentationParameters,
  type AugmentationStrengths,
  applyAugmentation,
  augmentationLabels,
  augmentationSettings,
  augmentations,
  drawTransform,
  type ImageShape,
} from "stf";
import type { GoldenFile } from "./golden-file.js";

/** How many numbers each draw of a transform has per image, in order; the last are gates. */
const draws: Readonly<Record<Augmentation, readonly number[]>> = {
  xflip: [1, 1],
  yflip: [1, 1],
  rotateInt: [1, 1],
  translateInt: [2, 1],
  scale: [1, 1],
  rotateFrac: [1, 1],
  aniso: [1, 1, 1, 1],
  translateFrac: [2, 1],
  brightness: [1, 1],
  contrast: [1, 1],
  lumaflip: [1, 1],
  hue: [1, 1],
  saturation: [1, 1],
};

/** The published options: p, multipliers and strengths side by side. */
export type PublishedPipe = Readonly<Record<string, number>>;

const camelCase = (text: string): string => text.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());

/**
 * The parameters that follow from stored draws.
 *
 * @param drawOf - the numbers of the next draw, of all images
 */
export function parametersFromDraws(
  { p = 1, ...rest }: PublishedPipe,
  count: number,
  shape: ImageShape,
  drawOf: (index: number) => Float64Array,
): AugmentationParameters {
  const named = Object.entries(rest).map(([key, value]) => [camelCase(key), value] as const);
  const isTransform = ([key]: readonly [string, number]): boolean => (augmentations as readonly string[]).includes(key);
  const settings = augmentationSettings({
    probability: p,
    multipliers: Object.fromEntries(named.filter(isTransform)),
    strengths: Object.fromEntries(named.filter((entry) => !isTransform(entry))) as Partial<AugmentationStrengths>,
  });
  const queues = Array.from({ length: count }, (): number[] => []);
  let drawn = 0;
  for (const transform of augmentations) {
    for (const numbers of draws[transform]) {
      // The published pipeline draws nothing for unused transforms.
      const stored = settings.multipliers[transform] > 0 ? drawOf(drawn++) : undefined;
      queues.forEach((queue, image) => {
        for (let i = 0; i < numbers; i++) queue.push(stored?.[i * count + image] ?? 0);
      });
    }
  }
  const transforms = queues.map((queue) => {
    const next = (): number => queue.shift() as number;
    return drawTransform({ uniform: next, normal: next, integer: next }, settings, shape);
  });
  return { transforms, settings, shape };
}

export function checkAugmentation(file: GoldenFile): void {
  const configs = file.metadata<Record<string, PublishedPipe>>("configs");
  for (const [name, config] of Object.entries(configs)) {
    scope(() => {
      const expected = file.tensor(`${name}.out`);
      const [count = 0, channels = 0, height = 0, width = 0] = expected.shape;
      const own = `${name}.images`;
      const images = file.tensor(file.has(own) ? own : channels === 1 ? "images_gray" : "images");
      const parameters = parametersFromDraws(config, count, { channels, height, width }, (index) =>
        file.numbers(`${name}.draw_${String(index).padStart(3, "0")}`),
      );
      file.compareAbsolute(`${name}: images`, applyAugmentation(images, parameters), expected, 1e-5);
      file.compareAbsolute(`${name}: in float64`, applyAugmentation(images.double(), parameters), expected, 1e-5);
      file.compareAbsolute(`${name}: labels`, augmentationLabels(parameters), file.tensor(`${name}.labels`), 1e-6);
    });
  }
}

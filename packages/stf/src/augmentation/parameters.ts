/** The transforms of a batch as plain numbers: drawn from keys, one key per sample. */

import type { ImageShape } from "../data/bank.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { Augmentation, AugmentationSettings } from "./settings.js";

/** The numbers that describe the transform of one image. All zero: the image stays as it is. */
export const transformValues = [
  /** 1: left and right are exchanged. */
  "xflip",
  /** 1: top and bottom are exchanged. */
  "yflip",
  /** Quarter turns, 0 to 3. */
  "rotateInt",
  /** Whole pixels to the right and upwards; what leaves the image comes back mirrored. */
  "translateIntX",
  "translateIntY",
  /** Logarithm of the magnification, in standard deviations. */
  "scale",
  /** Angle of rotation. */
  "rotateFrac",
  /** Logarithm of the stretch, in standard deviations, and its direction. */
  "aniso",
  "anisoDirection",
  /** Shift in standard deviations. */
  "translateFracX",
  "translateFracY",
  /** In standard deviations. */
  "brightness",
  "contrast",
  /** 1: luminance is inverted. */
  "lumaflip",
  /** Angle of rotation around the grey axis. */
  "hue",
  /** In standard deviations. */
  "saturation",
] as const;

/** The transform of one image. */
export type Transform = Readonly<Record<(typeof transformValues)[number], number>>;

/** The transforms of B images: one array of B numbers for every value of a transform, and what they were drawn for. */
export interface AugmentationParameters extends Readonly<Record<keyof Transform, Float64Array>> {
  /** B */
  readonly count: number;
  readonly settings: AugmentationSettings;
  readonly shape: ImageShape;
}

/** Where a transform's numbers come from. */
export type RandomSource = Pick<KeyedRandom, "uniform" | "normal" | "integer">;

/**
 * Draws one transform. Every one of the thirteen draws its numbers whether it is in use or not, so that switching one on
 * leaves the others as they are.
 */
export function drawTransform(random: RandomSource, settings: AugmentationSettings, shape: ImageShape): Transform {
  const { probability, multipliers, strengths } = settings;
  const gated = (name: Augmentation, values: readonly number[]): readonly number[] =>
    random.uniform() < probability * multipliers[name] ? values : values.map(() => 0);
  const one = (name: Augmentation, value: number): number => gated(name, [value])[0] as number;
  const two = (name: Augmentation, first: number, second: number) => gated(name, [first, second]) as [number, number];
  const symmetric = (): number => 2 * random.uniform() - 1;
  const pixels = (size: number): number => Math.round(symmetric() * size * strengths.translateIntMax);

  const xflip = one("xflip", random.integer(2));
  const yflip = one("yflip", random.integer(2));
  const rotateInt = one("rotateInt", random.integer(4));
  const [translateIntX, translateIntY] = two("translateInt", pixels(shape.width), pixels(shape.height));
  const scale = one("scale", random.normal());
  const rotateFrac = one("rotateFrac", symmetric() * Math.PI * strengths.rotateFracMax);
  const stretch = random.normal();
  const direction = symmetric() * Math.PI;
  const aniso = one("aniso", stretch);
  const anisoDirection = random.uniform() < strengths.anisoRotateProb ? direction : 0;
  const [translateFracX, translateFracY] = two("translateFrac", random.normal(), random.normal());
  const brightness = one("brightness", random.normal());
  const contrast = one("contrast", random.normal());
  const lumaflip = one("lumaflip", random.integer(2));
  const hue = one("hue", symmetric() * Math.PI * strengths.hueMax);
  const saturation = one("saturation", random.normal());
  const geometry = { scale, rotateFrac, aniso, anisoDirection, translateFracX, translateFracY };
  const colour = { brightness, contrast, lumaflip, hue, saturation };
  return { xflip, yflip, rotateInt, translateIntX, translateIntY, ...geometry, ...colour };
}

/** Gathers the transforms of several images. */
export function parametersOf(
  transforms: readonly Transform[],
  settings: AugmentationSettings,
  shape: ImageShape,
): AugmentationParameters {
  const values = Object.fromEntries(
    transformValues.map((name) => [name, Float64Array.from(transforms, (transform) => transform[name])]),
  ) as Record<keyof Transform, Float64Array>;
  return { count: transforms.length, settings, shape, ...values };
}

/**
 * Draws the transforms of training samples. Each depends on the seed and its sample's global number alone.
 *
 * @param samples - global numbers of the samples, `[B]`
 * @param shape - of the images that will be transformed
 */
export function drawAugmentation(
  settings: AugmentationSettings,
  shape: ImageShape,
  seed: number,
  samples: readonly number[],
): AugmentationParameters {
  const transforms = samples.map((sample) =>
    drawTransform(new KeyedRandom(randomKey(seed, "augmentation", sample)), settings, shape),
  );
  return parametersOf(transforms, settings, shape);
}

/** The transform of one row. */
export function transformOf(parameters: AugmentationParameters, row: number): Transform {
  if (!(row >= 0 && row < parameters.count)) {
    throw new RangeError(`a row must be one of 0 to ${parameters.count - 1}, found ${row}`);
  }
  return Object.fromEntries(transformValues.map((name) => [name, parameters[name][row]])) as Transform;
}

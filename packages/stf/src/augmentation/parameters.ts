/** The transforms of a batch as plain numbers, drawn from one key per sample. */

import type { ImageShape } from "../common/image-shape.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";
import type { Augmentation, AugmentationSettings } from "./settings.js";

/** The transform of one image in numbers. All zero: the identity. */
export interface Transform {
  /** 1: left and right are swapped. */
  readonly xflip: number;
  /** 1: top and bottom are swapped. */
  readonly yflip: number;
  /** Quarter turns, 0 to 3. */
  readonly rotateInt: number;
  /** Whole pixels to the right; pixels that leave the image reappear mirrored. */
  readonly translateIntX: number;
  /** Whole pixels upwards. */
  readonly translateIntY: number;
  /** Logarithm of the magnification, in standard deviations. */
  readonly scale: number;
  /** Angle of rotation. */
  readonly rotateFrac: number;
  /** Logarithm of the stretch, in standard deviations. */
  readonly aniso: number;
  /** Direction of the stretch, as an angle. */
  readonly anisoDirection: number;
  /** Horizontal shift in standard deviations. */
  readonly translateFracX: number;
  /** Vertical shift in standard deviations. */
  readonly translateFracY: number;
  /** Added brightness, in standard deviations. */
  readonly brightness: number;
  /** Logarithm of the factor, in standard deviations. */
  readonly contrast: number;
  /** 1: luminance is inverted. */
  readonly lumaflip: number;
  /** Angle of rotation around the grey axis. */
  readonly hue: number;
  /** Logarithm of the factor, in standard deviations. */
  readonly saturation: number;
}

/** The identity. */
export const noTransform: Transform = {
  xflip: 0,
  yflip: 0,
  rotateInt: 0,
  translateIntX: 0,
  translateIntY: 0,
  scale: 0,
  rotateFrac: 0,
  aniso: 0,
  anisoDirection: 0,
  translateFracX: 0,
  translateFracY: 0,
  brightness: 0,
  contrast: 0,
  lumaflip: 0,
  hue: 0,
  saturation: 0,
};

/** The transforms of B images, with the settings and the shape they were drawn for. */
export interface AugmentationParameters {
  /** One per image. */
  readonly transforms: readonly Transform[];
  /** The settings they were drawn from. */
  readonly settings: AugmentationSettings;
  /** Shape of the images. */
  readonly shape: ImageShape;
}

/** Source of random numbers for a transform. */
export type RandomSource = Pick<KeyedRandom, "uniform" | "normal" | "integer">;

/**
 * Draws one transform. Each of the thirteen draws its numbers whether it is in use or not, so that enabling one
 * leaves the others unchanged.
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

/**
 * Draws the transforms of training samples. Each depends only on the seed and its sample's global number.
 *
 * @param samples - global numbers of the samples, `[B]`
 * @param shape - shape of the images that will be transformed
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
  return { transforms, settings, shape };
}

/** The transform of one row. @throws RangeError when there is no such row. */
export function transformOf({ transforms }: AugmentationParameters, row: number): Transform {
  const transform = transforms[row];
  if (transform) return transform;
  throw new RangeError(`a row must be one of 0 to ${transforms.length - 1}, found ${row}`);
}

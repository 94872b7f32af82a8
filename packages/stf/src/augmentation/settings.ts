/** Which transforms of the augmentation pipe of Karras et al. 2022 (appendix F.2) are in use, how often, and how strongly. */

/** All transforms, in the order in which they are drawn, applied and labelled. */
export const augmentations = [
  "xflip",
  "yflip",
  "rotateInt",
  "translateInt",
  "scale",
  "rotateFrac",
  "aniso",
  "translateFrac",
  "brightness",
  "contrast",
  "lumaflip",
  "hue",
  "saturation",
] as const;

/** The name of a transform. */
export type Augmentation = (typeof augmentations)[number];

/** The strength of each transform. Shifts are in units of the image size, standard deviations of scales in powers of two. */
export interface AugmentationStrengths {
  /** Largest shift by whole pixels. */
  readonly translateIntMax: number;
  /** Standard deviation of the magnification. */
  readonly scaleStd: number;
  /** Largest angle of rotation, in units of pi. */
  readonly rotateFracMax: number;
  /** Standard deviation of the stretch. */
  readonly anisoStd: number;
  /** Probability that a stretched image is stretched along a random direction, not along its width. */
  readonly anisoRotateProb: number;
  /** Standard deviation of the shift by fractions of a pixel. */
  readonly translateFracStd: number;
  /** Standard deviation of the constant added to all channels. */
  readonly brightnessStd: number;
  /** Standard deviation of the factor on all channels. */
  readonly contrastStd: number;
  /** Largest rotation of the hue, in units of pi. */
  readonly hueMax: number;
  /** Standard deviation of the factor on the distance from grey. */
  readonly saturationStd: number;
}

const defaultStrengths: AugmentationStrengths = {
  translateIntMax: 0.125,
  scaleStd: 0.2,
  rotateFracMax: 1,
  anisoStd: 0.2,
  anisoRotateProb: 0.5,
  translateFracStd: 0.125,
  brightnessStd: 0.2,
  contrastStd: 0.5,
  hueMax: 1,
  saturationStd: 1,
};

/** Everything that determines how transforms are drawn. */
export interface AugmentationSettings {
  /** Probability of a transform whose multiplier is 1. */
  readonly probability: number;
  /** A transform is applied with probability `probability * multiplier`, always if that exceeds 1; 0 disables it. */
  readonly multipliers: Readonly<Record<Augmentation, number>>;
  /** Strength of each transform. */
  readonly strengths: AugmentationStrengths;
}

/** Differences from the published setting. */
export interface AugmentationOptions {
  /** Probability of a transform whose multiplier is 1. */
  probability: number;
  /** Transforms in use; those left out have multiplier 0. If given, it replaces the whole set: nothing is merged. */
  multipliers?: Readonly<Partial<Record<Augmentation, number>>>;
  /** Strengths that differ from the published ones. */
  strengths?: Partial<AugmentationStrengths>;
}

/** The transforms that the published training uses: half of all images are mirrored, regardless of the probability. */
export const trainingMultipliers: Readonly<Partial<Record<Augmentation, number>>> = {
  xflip: 1e8,
  yflip: 1,
  scale: 1,
  rotateFrac: 1,
  aniso: 1,
  translateFrac: 1,
};

/** Completes options: `{ probability: 0.12 }` is the published setting for CIFAR-10. */
export function augmentationSettings({
  probability,
  multipliers = trainingMultipliers,
  strengths = {},
}: AugmentationOptions): AugmentationSettings {
  const none = Object.fromEntries(augmentations.map((name) => [name, 0])) as Record<Augmentation, number>;
  return {
    probability,
    multipliers: { ...none, ...multipliers },
    strengths: { ...defaultStrengths, ...strengths },
  };
}

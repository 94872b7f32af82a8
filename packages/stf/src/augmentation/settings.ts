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

export type Augmentation = (typeof augmentations)[number];

/** How far each transform goes. Shifts are in units of the image's size, spreads of scales in powers of two. */
const defaultStrengths = {
  translateIntMax: 0.125,
  scaleStd: 0.2,
  /** In units of pi, like `hueMax`. */
  rotateFracMax: 1,
  anisoStd: 0.2,
  /** Probability that a stretched image is stretched along a random direction, not along its width. */
  anisoRotateProb: 0.5,
  translateFracStd: 0.125,
  brightnessStd: 0.2,
  contrastStd: 0.5,
  hueMax: 1,
  saturationStd: 1,
};

export type AugmentationStrengths = Readonly<typeof defaultStrengths>;

export interface AugmentationSettings {
  /** Probability of a transform whose multiplier is 1. */
  readonly probability: number;
  /** A transform acts with probability `probability * multiplier`, and always where that exceeds 1; 0 leaves it out. */
  readonly multipliers: Readonly<Record<Augmentation, number>>;
  readonly strengths: AugmentationStrengths;
}

export interface AugmentationOptions {
  probability: number;
  /** Transforms in use; those left out have multiplier 0. Given or not, the whole set: nothing is merged. */
  multipliers?: Readonly<Partial<Record<Augmentation, number>>>;
  strengths?: Partial<AugmentationStrengths>;
}

/** The transforms that the published training uses: half of all images are mirrored, whatever the probability. */
export const trainingMultipliers = {
  xflip: 1e8,
  yflip: 1,
  scale: 1,
  rotateFrac: 1,
  aniso: 1,
  translateFrac: 1,
} as const satisfies AugmentationOptions["multipliers"];

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

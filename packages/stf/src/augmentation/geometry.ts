/** Scaling, rotation, stretching and shifting by any amount, as one affine map. */

import type { ImageShape } from "../common/image-shape.js";
import type { Transform } from "./parameters.js";
import type { AugmentationSettings } from "./settings.js";

/**
 * `[a, b, c, d, e, f]`: the result's point (x, y) shows the image's point (a x + b y + c, d x + e y + f). In pixels, x to
 * the right and y downwards, with the centre of the image as the origin.
 */
export type AffineMap = readonly [number, number, number, number, number, number];

/** The map that applies `second` first. */
function compose([a, b, c, d, e, f]: AffineMap, second: AffineMap): AffineMap {
  const [p, q, r, s, t, u] = second;
  return [a * p + b * s, a * q + b * t, a * r + b * u + c, d * p + e * s, d * q + e * t, d * r + e * u + f];
}

const stretching = (x: number, y: number): AffineMap => [x, 0, 0, 0, y, 0];

const rotation = (angle: number): AffineMap => {
  const [cosine, sine] = [Math.cos(angle), Math.sin(angle)];
  return [cosine, -sine, 0, sine, cosine, 0];
};

/** Whether a transform needs resampling. */
export function warps({ scale, rotateFrac, aniso, translateFracX, translateFracY }: Transform): boolean {
  return scale !== 0 || rotateFrac !== 0 || aniso !== 0 || translateFracX !== 0 || translateFracY !== 0;
}

/** The affine map of a transform. */
export function affineMapOf(
  transform: Transform,
  { strengths }: AugmentationSettings,
  { width, height }: ImageShape,
): AffineMap {
  const magnification = 2 ** (strengths.scaleStd * transform.scale);
  const stretch = 2 ** (strengths.anisoStd * transform.aniso);
  const { rotateFrac, anisoDirection, translateFracX, translateFracY } = transform;
  const x = translateFracX * strengths.translateFracStd * width;
  const y = translateFracY * strengths.translateFracStd * height;
  const maps: AffineMap[] = [
    rotation(rotateFrac),
    rotation(-anisoDirection),
    stretching(1 / stretch, stretch),
    rotation(anisoDirection),
    [1, 0, -x, 0, 1, -y],
  ];
  return maps.reduce(compose, stretching(1 / magnification, 1 / magnification));
}

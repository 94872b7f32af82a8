/** Brightness, contrast, inverted luminance, hue and saturation, as one affine map of (red, green, blue). */

import { ShapeError, scope, type Tensor, tensor } from "@stf/torch";
import type { AugmentationParameters, Transform } from "./parameters.js";
import type { AugmentationSettings } from "./settings.js";

/** Three rows of a matrix and a constant each, `[3, 4]`. */
export type ColourMap = readonly (readonly [number, number, number, number])[];

/** Whether a transform changes colours. */
export function recolours({ brightness, contrast, lumaflip, hue, saturation }: Transform): boolean {
  return brightness !== 0 || contrast !== 0 || lumaflip !== 0 || hue !== 0 || saturation !== 0;
}

/**
 * The colour map of a transform. Along the grey axis (1, 1, 1) the map is scalar: brightness adds, contrast multiplies,
 * and the flip of luminance changes the sign. Perpendicular to it, contrast and saturation multiply and hue rotates.
 */
export function colourMapOf(transform: Transform, { strengths }: AugmentationSettings): ColourMap {
  const { brightness, contrast, lumaflip, hue, saturation } = transform;
  const gain = 2 ** (strengths.contrastStd * contrast);
  const sign = lumaflip === 1 ? -1 : 1;
  const across = gain * 2 ** (strengths.saturationStd * saturation);
  const constant = sign * gain * strengths.brightnessStd * brightness;
  // Rotation around a unit axis u: u u^T + cos (1 - u u^T) + sin [u]_x, with u = (1, 1, 1) / sqrt(3).
  const [cosine, sine] = [Math.cos(hue), Math.sin(hue) / Math.sqrt(3)];
  const entry = (row: number, column: number): number => {
    const crossProduct = row === column ? 0 : (column - row + 3) % 3 === 1 ? -1 : 1;
    const chroma = cosine * (Number(row === column) - 1 / 3) + sine * crossProduct;
    return (sign * gain) / 3 + across * chroma;
  };
  return [0, 1, 2].map((row) => [entry(row, 0), entry(row, 1), entry(row, 2), constant] as const);
}

/** The map of the mean of three equal channels. */
function greyMap(map: ColourMap): [number, number] {
  const mean = (value: (row: ColourMap[number]) => number): number =>
    map.reduce((sum, row) => sum + value(row), 0) / map.length;
  return [mean(([r, g, b]) => r + g + b), mean((row) => row[3])];
}

/**
 * Changes the colours of each image.
 *
 * @param images - `[n, C, H, W]` with one or three channels
 * @param transforms - n of them, or fewer, each for an equal number of images in a row
 * @throws ShapeError for any other number of channels
 */
export function changeColours(
  images: Tensor,
  transforms: readonly Transform[],
  { settings }: AugmentationParameters,
): Tensor {
  const [count, channels, height, width] = images.shape as [number, number, number, number];
  if (channels !== 1 && channels !== 3) {
    throw new ShapeError(`colours can change in images of 1 or 3 channels, found ${channels}; use geometry alone`);
  }
  const maps = transforms.map((transform) => colourMapOf(transform, settings));
  const factors = maps.flatMap((map) => (channels === 3 ? map.flatMap((row) => row.slice(0, 3)) : [greyMap(map)[0]]));
  const constants = maps.flatMap((map) => (channels === 3 ? map.map((row) => row[3]) : [greyMap(map)[1]]));
  return scope(() => {
    const { dtype, device } = images;
    const values = (numbers: number[], columns: number): Tensor =>
      tensor(Float64Array.from(numbers), { shape: [maps.length, 1, channels, columns], dtype, device })
        .expand([maps.length, count / maps.length, channels, columns])
        .reshape([count, channels, columns]);
    const flat = images.reshape([count, channels, height * width]);
    return values(constants, 1).baddbmm(values(factors, channels), flat).view([count, channels, height, width]);
  });
}

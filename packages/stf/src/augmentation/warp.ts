/**
 * Affine resampling with little aliasing, after Karras et al. 2020 ("Training generative adversarial networks with limited
 * data", appendix B): mirror the image at its borders, upsample it by two with a wavelet filter, read it bilinearly at twice
 * the resolution of the result, and filter down. Mirroring and filtering are linear along each axis, so they are products
 * with small matrices; and only the part of the upsampled image that is read is computed.
 */

import { affineResample, cat, gridSampler, LONGEST_RESAMPLED_SIDE, scope, type Tensor, tensor } from "@stf/torch";
import type { AffineMap } from "./geometry.js";
import { reflect } from "./reflect.js";

/** Low-pass decomposition filter of the wavelet sym6. Its sum is sqrt(2), so that upsampling and downsampling preserve a constant. */
const taps = [
  0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633, 0.4910559419267466,
  0.787641141030194, 0.3379294217276218, -0.07263752278646252, -0.021060292512300564, 0.04472490177066578,
  0.0017677118642428036, -0.007800708325034148,
] as const;

/** Values of upsampled images that are held at a time. */
const VALUES_AT_ONCE = 2 ** 22;

/** An interval of positions along one axis of the upsampled image. */
interface Window {
  readonly first: number;
  readonly length: number;
}

/** Length of an axis extended by one reflection at each end. */
const mirroredLength = (size: number): number => 3 * size - 2;

/** Number of sampling positions for one axis of the result: two per pixel, plus the reach of the filter. */
const readLength = (size: number): number => 2 * size + 10;

/** The coordinate of the result, in pixels from its centre, at the given sampling position. */
const readCoordinate = (place: number, size: number): number => (place - size - 4) / 2;

/** The position on the upsampled axis of a coordinate of the image, in pixels from its centre. */
const upsampledPlace = (coordinate: number, size: number): number => 2 * coordinate + mirroredLength(size) - 1;

/** Mirrors and upsamples an axis of `size`: `[size, window]`, to multiply rows with. */
function upsamplingMatrix(size: number, { first, length }: Window): Float64Array {
  const matrix = new Float64Array(size * length);
  for (let i = 0; i < length; i++) {
    taps.forEach((tap, t) => {
      const doubled = first + i + 5 - t;
      if (doubled % 2 !== 0 || doubled < 0 || doubled >= 2 * mirroredLength(size)) return;
      const entry = reflect(doubled / 2 - (size - 1), size) * length + i;
      matrix[entry] = (matrix[entry] as number) + tap;
    });
  }
  return matrix;
}

/** Filters and keeps every second value: `[readLength, size]`, to multiply rows with. */
function downsamplingMatrix(size: number): Float64Array {
  const matrix = new Float64Array(readLength(size) * size);
  for (let i = 0; i < size; i++) {
    taps.forEach((tap, t) => {
      matrix[(2 * i + t) * size + i] = tap;
    });
  }
  return matrix;
}

/** A linear form a x + b y + c of the result's coordinates: one coordinate of the image. */
type LinearForm = readonly [number, number, number];

/** The interval of an upsampled axis of `size` that is read along forms in the coordinates of a `width` x `height` result. */
function windowOf(forms: readonly LinearForm[], size: number, width: number, height: number): Window {
  let lowest = Number.POSITIVE_INFINITY;
  let highest = Number.NEGATIVE_INFINITY;
  for (const [a, b, c] of forms) {
    for (const x of [readCoordinate(0, width), readCoordinate(readLength(width) - 1, width)]) {
      for (const y of [readCoordinate(0, height), readCoordinate(readLength(height) - 1, height)]) {
        const place = upsampledPlace(a * x + b * y + c, size);
        lowest = Math.min(lowest, place);
        highest = Math.max(highest, place);
      }
    }
  }
  // One more position on each side, because rounding must not push a read over the edge, where there are zeros.
  const inside = (place: number): number => Math.min(Math.max(place, 0), 2 * mirroredLength(size) - 1);
  const first = inside(Math.floor(lowest) - 1);
  return { first, length: inside(Math.ceil(highest) + 1) - first + 1 };
}

/**
 * Where to read the windows, `[maps, readLength(H), readLength(W), 2]`, -1 and 1 being the outer edges. A position is the sum of a
 * function of x and one of y; both are computed in float64.
 */
function readingGrid(
  maps: readonly AffineMap[],
  [width, height]: readonly [number, number],
  [across, down]: readonly [Window, Window],
  { dtype, device }: Tensor,
): Tensor {
  const [columns, rows] = [readLength(width), readLength(height)];
  const ofX = new Float64Array(maps.length * columns * 2);
  const ofY = new Float64Array(maps.length * rows * 2);
  const perPlace = [2 / across.length, 2 / down.length] as const;
  maps.forEach(([a, b, c, d, e, f], m) => {
    for (let i = 0; i < columns; i++) {
      const x = readCoordinate(i, width);
      ofX[2 * (m * columns + i)] = 2 * a * x * perPlace[0];
      ofX[2 * (m * columns + i) + 1] = 2 * d * x * perPlace[1];
    }
    for (let i = 0; i < rows; i++) {
      const y = readCoordinate(i, height);
      ofY[2 * (m * rows + i)] = (upsampledPlace(b * y + c, width) - across.first + 0.5) * perPlace[0] - 1;
      ofY[2 * (m * rows + i) + 1] = (upsampledPlace(e * y + f, height) - down.first + 0.5) * perPlace[1] - 1;
    }
  });
  const xPart = tensor(ofX, { shape: [maps.length, 1, columns, 2], dtype, device });
  return tensor(ofY, { shape: [maps.length, rows, 1, 2], dtype, device }).add(xPart);
}

/** Multiplies rows and columns: left^T x right for every plane x of `[planes, H, W]`; both matrices have the axis first. */
function multiplyAxes(planes: Tensor, left: Tensor, right: Tensor): Tensor {
  const [count, height, width] = planes.shape as [number, number, number];
  const wide = planes
    .reshape([count * height, width])
    .mm(right)
    .view([count, height, right.size(1)]);
  return left
    .t()
    .expand([count, left.size(1), height])
    .bmm(wide);
}

/** Which part of the upsampled images the maps read, across and down. */
function windowsOf(maps: readonly AffineMap[], width: number, height: number): [Window, Window] {
  const across = maps.map(([a, b, c]) => [a, b, c] as const);
  const down = maps.map(([, , , d, e, f]) => [d, e, f] as const);
  return [windowOf(across, width, width, height), windowOf(down, height, width, height)];
}

/** Images whose upsampled windows are held at a time. One map per image, or one for all. */
function warpTogether(images: Tensor, maps: readonly AffineMap[]): Tensor {
  return scope(() => {
    const [count, channels, height, width] = images.shape as [number, number, number, number];
    const { dtype, device } = images;
    const matrix = (values: Float64Array, rows: number): Tensor =>
      tensor(values, { shape: [rows, values.length / rows], dtype, device });
    const [across, down] = windowsOf(maps, width, height);
    const upsampled = multiplyAxes(
      images.reshape([count * channels, height, width]),
      matrix(upsamplingMatrix(height, down), height),
      matrix(upsamplingMatrix(width, across), width),
    ).view([count, channels, down.length, across.length]);
    const grid = readingGrid(maps, [width, height], [across, down], images);
    const bilinear = 0;
    const zerosOutside = 0;
    const read = gridSampler(upsampled, grid.expand([count, -1, -1, -1]), bilinear, zerosOutside, false);
    return multiplyAxes(
      read.reshape([count * channels, readLength(height), readLength(width)]),
      matrix(downsamplingMatrix(height), readLength(height)),
      matrix(downsamplingMatrix(width), readLength(width)),
    ).view([count, channels, height, width]);
  });
}

/** Warps images with stock operators, some at a time. One map per image, or one for all. */
function warpByOperators(images: Tensor, maps: readonly AffineMap[]): Tensor {
  const [count, channels, height, width] = images.shape as [number, number, number, number];
  const [across, down] = windowsOf(maps, width, height);
  const step = Math.max(1, Math.floor(VALUES_AT_ONCE / (channels * across.length * down.length)));
  return scope(() => {
    const parts: Tensor[] = [];
    for (let first = 0; first < count; first += step) {
      const length = Math.min(step, count - first);
      const own = maps.length === 1 ? maps : maps.slice(first, first + length);
      parts.push(warpTogether(images.narrow(0, first, length), own));
    }
    return cat(parts);
  });
}

/** `warp` by the native loop of the addon. */
function warpByLoop(images: Tensor, maps: readonly AffineMap[]): Tensor {
  const [count, channels, height, width] = images.shape as [number, number, number, number];
  const [x, y] = [readCoordinate(0, width), readCoordinate(0, height)];
  // In sampling positions, half a pixel each, and upsampled positions.
  const forms = maps.flatMap(([a, b, c, d, e, f]) => [
    ...[a, b, upsampledPlace(a * x + b * y + c, width)],
    ...[d, e, upsampledPlace(d * x + e * y + f, height)],
  ]);
  return scope(() =>
    affineResample(
      images.contiguous().view([maps.length, (count / maps.length) * channels, height, width]),
      tensor(Float64Array.from(forms), { shape: [maps.length, 6] }),
      tensor(Float32Array.from(taps)),
    ).view([count, channels, height, width]),
  );
}

/**
 * Resamples images along affine maps. An image is mirrored once beyond each border, and zero farther out, independent of
 * the other images and their maps.
 *
 * @param images - `[n, C, H, W]`, float32 or float64
 * @param maps - n of them, or fewer, each for an equal number of images in a row
 */
export function warp(images: Tensor, maps: readonly AffineMap[]): Tensor {
  const { dtype, device, requiresGrad, shape } = images;
  const isSmall = Math.max(...shape.slice(2)) <= LONGEST_RESAMPLED_SIDE;
  if (dtype === "float32" && device === "cpu" && !requiresGrad && isSmall) return warpByLoop(images, maps);
  const perMap = images.size(0) / maps.length;
  if (perMap === 1) return warpByOperators(images, maps);
  return scope(() => cat(maps.map((map, m) => warpByOperators(images.narrow(0, m * perMap, perMap), [map]))));
}

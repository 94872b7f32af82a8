/** The loop that resamples planes along affine maps, against its definition in float64, one value at a time. */

import { affineResample, engineReport, ones, setThreads, type Tensor, TorchError, tensor, zeros } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { elsewhere, expectClose, normal, scopedTest } from "../support.js";

const taps = Float32Array.from([0.02, -0.1, 0.3, 0.7, 0.4, -0.2, 0.1, 0.05, -0.03, 0.15, 0.01, -0.04]);
const filter = (): Tensor => tensor(taps);

type Axis = (place: number) => number;

/** The place of an upsampled axis as weights of its pixels: those of the pixel with the given number. */
function upsampledWeight(place: number, pixel: number, size: number): number {
  if (place < 0 || place >= 2 * (3 * size - 2)) return 0;
  let sum = 0;
  for (let mirrored = 0; mirrored < 3 * size - 2; mirrored++) {
    const distance = Math.abs(mirrored - (size - 1));
    const shown = distance < size ? distance : 2 * (size - 1) - distance;
    if (shown === pixel) sum += taps[place - 2 * mirrored + 5] ?? 0;
  }
  return sum;
}

/** Value at an upsampled place that need not be whole. */
function readAt(plane: Float64Array, height: number, width: number, u: number, v: number): number {
  const between = (x: number): [place: number, weight: number][] => [
    [Math.floor(x), 1 - (x - Math.floor(x))],
    [Math.floor(x) + 1, x - Math.floor(x)],
  ];
  let sum = 0;
  for (const [row, down] of between(v)) {
    for (const [column, across] of between(u)) {
      for (let y = 0; y < height; y++) {
        const ofRow = down * upsampledWeight(row, y, height);
        if (ofRow === 0) continue;
        for (let x = 0; x < width; x++) {
          sum += ofRow * across * upsampledWeight(column, x, width) * plane[y * width + x]!;
        }
      }
    }
  }
  return sum;
}

/** One plane by the definition. */
function resampled(plane: Float64Array, height: number, width: number, map: readonly number[]): number[] {
  const [a, b, c, d, e, f] = map as [number, number, number, number, number, number];
  const rows = 2 * height + 10;
  const columns = 2 * width + 10;
  const read = Float64Array.from({ length: rows * columns }, (_, place) => {
    const [i, j] = [place % columns, Math.floor(place / columns)];
    return readAt(plane, height, width, a * i + b * j + c, d * i + e * j + f);
  });
  return Array.from({ length: height * width }, (_, pixel) => {
    const [x, y] = [pixel % width, Math.floor(pixel / width)];
    let sum = 0;
    taps.forEach((down, t) => {
      taps.forEach((across, s) => {
        sum += down * across * read[(2 * y + t) * columns + 2 * x + s]!;
      });
    });
    return sum;
  });
}

/** Turns, stretches and shifts around the middle, given in upsampled places. */
function mapAround(height: number, width: number, angle: number, stretch: Axis, shift: number): number[] {
  const [cosine, sine] = [stretch(0) * Math.cos(angle), stretch(1) * Math.sin(angle)];
  const [i, j] = [width + 4.5, height + 4.5];
  const middle = (size: number): number => 3 * size - 2.5;
  return [
    ...[cosine, -sine, middle(width) - cosine * i + sine * j + shift],
    ...[sine, cosine, middle(height) - sine * i - cosine * j - shift],
  ];
}

const maps = (height: number, width: number): number[][] => [
  mapAround(height, width, 0, () => 1, 0),
  mapAround(height, width, 0.4, () => 1.1, 1.7),
  mapAround(height, width, Math.PI / 2, () => 1, -0.3),
  mapAround(height, width, 2.6, (axis) => (axis ? 0.6 : 1.9), 4),
  mapAround(height, width, -1, () => 4, 0),
  mapAround(height, width, 0.7, () => 1, 2 * width + 3),
  [0, 0, width, 0, 0, height],
  mapAround(height, width, 0.1, () => 1, 1e6),
];

describe("affineResample", () => {
  // Few planes and many, with blocks of vectors that are not full; sides of one pixel.
  for (const [planes, height, width] of [
    [1, 5, 4],
    [3, 3, 6],
    [21, 4, 3],
    [5, 1, 1],
    [2, 1, 5],
  ] as const) {
    scopedTest(`groups of ${planes} planes of ${height} x ${width}`, () => {
      const own = maps(height, width);
      const x = normal([own.length, planes, height, width], 1).float();
      const found = affineResample(x, tensor(Float64Array.from(own.flat()), { shape: [own.length, 6] }), filter());
      const values = x.toFloat64Array();
      const size = height * width;
      const expected = Array.from({ length: own.length * planes }, (_, p) =>
        resampled(values.subarray(p * size, (p + 1) * size), height, width, own[Math.floor(p / planes)]!),
      );
      expect(found.shape).toEqual(x.shape);
      expectClose(found.toFloat64Array(), expected, { rtol: 1e-5, atol: 5e-6 });
    });
  }

  scopedTest("what a plane becomes depends neither on the others nor on the threads", () => {
    const own = maps(16, 12);
    const places = tensor(Float64Array.from(own.flat()), { shape: [own.length, 6] });
    const x = normal([own.length, 70, 16, 12], 2).float();
    const before = engineReport().threads;
    setThreads(1);
    const alone = affineResample(x, places, filter()).toFloat64Array();
    setThreads(3);
    expect(affineResample(x, places, filter()).toFloat64Array()).toEqual(alone);
    setThreads(before);
    for (const planes of [1, 3, 4, 5, 33]) {
      const some = affineResample(x.narrow(1, 70 - planes, planes).narrow(0, 3, 2), places.narrow(0, 3, 2), filter());
      expectClose(
        some,
        tensor(alone, { shape: x.shape })
          .float()
          .narrow(1, 70 - planes, planes)
          .narrow(0, 3, 2),
      );
    }
  });

  test("nothing is made of nothing", () => {
    expect(affineResample(zeros([0, 3, 4, 4]), zeros([0, 6], { dtype: "float64" }), filter()).shape).toEqual([
      0, 3, 4, 4,
    ]);
    const noPlanes = affineResample(zeros([2, 0, 4, 4]), zeros([2, 6], { dtype: "float64" }), filter());
    expect(noPlanes.shape).toEqual([2, 0, 4, 4]);
  });

  scopedTest("maps that lead anywhere are survived", () => {
    const wild = [1e300, -1e300, 1e18, -1e17, 3e9, 1e-300];
    for (let i = 0; i < 36; i++) {
      const map = Float64Array.from({ length: 6 }, (_, k) => wild[(i * (k + 1) + (k % 3)) % 6]!);
      affineResample(ones([1, 20, 9, 7]), tensor(map, { shape: [1, 6] }), filter());
    }
  });

  scopedTest("inputs that do not fit are errors", () => {
    const x = ones([2, 3, 4, 4]);
    const map = zeros([2, 6], { dtype: "float64" });
    const refused = (pattern: RegExp, ...[planes, places, weights]: Parameters<typeof affineResample>): void => {
      expect(() => affineResample(planes, places, weights)).toThrow(TorchError);
      expect(() => affineResample(planes, places, weights)).toThrow(pattern);
    };
    const planesWanted = /planes must be float32 \[groups, planes, height, width\] on the CPU/;
    refused(planesWanted, x.double(), map, filter());
    refused(planesWanted, x.select(0, 0), map, filter());
    refused(planesWanted, x.to({ device: elsewhere }), map, filter());
    refused(/maps must be float64 \[2, 6\]/, x, map.float(), filter());
    refused(/maps must be float64 \[2, 6\]/, x, map.narrow(0, 0, 1), filter());
    refused(/taps must be float32 \[12\]/, x, map, filter().narrow(0, 0, 11));
    refused(/maps must be finite/, x, map.add(Number.NaN), filter());
    refused(/at most 1024 pixels a side, found 1 x 1025/, zeros([2, 1, 1, 1025]), map, filter());
    refused(/must not require a gradient/, ones([2, 3, 4, 4]).requiresGrad_(), map, filter());
  });
});

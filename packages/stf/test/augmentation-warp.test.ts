/** Geometry and colours of the augmentation in closed form. */

import { cat, grad, type Tensor, tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { changeColours } from "../src/augmentation/colour.js";
import { type AffineMap, affineMapOf } from "../src/augmentation/geometry.js";
import { noTransform, type Transform } from "../src/augmentation/parameters.js";
import { movePixels } from "../src/augmentation/permutation.js";
import { augmentationSettings } from "../src/augmentation/settings.js";
import { warp } from "../src/augmentation/warp.js";
import { maxDeviation, normals, uniforms } from "./support.js";

const SIZE = 64;
const shape = { channels: 1, height: SIZE, width: SIZE };
const settings = augmentationSettings({ probability: 1 });
const transform = (values: Partial<Transform>): Transform => ({ ...noTransform, ...values });
const shift = (x: number, y: number): AffineMap => [1, 0, x, 0, 1, y];
const scaling = (factor: number): AffineMap => [factor, 0, 0, 0, factor, 0];
const quarterTurn: AffineMap = [0, -1, 0, 1, 0, 0];

/** `f` at the centres of the pixels, the origin being the centre of the image; float64 `[1, 1, SIZE, SIZE]`. */
function sampled(f: (x: number, y: number) => number): Tensor {
  const centre = (SIZE - 1) / 2;
  const values = Float64Array.from({ length: SIZE ** 2 }, (_, i) =>
    f((i % SIZE) - centre, Math.floor(i / SIZE) - centre),
  );
  return tensor(values, { shape: [1, 1, SIZE, SIZE] });
}

/** Three soft spots, in the dark at the borders: next to nothing beyond the frequencies that the pixels can hold. */
function spots(x: number, y: number): number {
  const spot = (cx: number, cy: number, width: number): number =>
    Math.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * width ** 2));
  return spot(4, -2, 5) - 0.7 * spot(-6, 4, 4.5) + 0.4 * spot(1, 7, 6);
}

/** The spots with their mirror images across the borders. */
function mirroredSpots(x: number, y: number): number {
  const edge = (SIZE - 1) / 2;
  const fold = (at: number): number => (at > edge ? 2 * edge - at : at < -edge ? -2 * edge - at : at);
  return spots(fold(x), fold(y));
}

describe("warp", () => {
  test("the identity and shifts by whole pixels keep every value: the filter is orthogonal", () => {
    const images = normals([2, 3, 9, 12], 1);
    expect(maxDeviation(warp(images, [shift(0, 0)]), images)).toBeLessThan(1e-10);
    const inside = warp(images, [shift(3, -2)])
      .narrow(3, 0, 9)
      .narrow(2, 2, 7);
    expect(maxDeviation(inside, images.narrow(3, 3, 9).narrow(2, 0, 7))).toBeLessThan(1e-10);
  });

  test("beyond its borders an image goes on mirrored, once, and is zero farther out", () => {
    const images = normals([1, 2, 16, 16], 2);
    const column = (map: AffineMap, at: number): Tensor => warp(images, [map]).select(3, at);
    const row = (map: AffineMap, at: number): Tensor => warp(images, [map]).select(2, at);
    expect(maxDeviation(column(shift(5, 0), 15), images.select(3, 10))).toBeLessThan(1e-10);
    expect(maxDeviation(column(shift(-4, 0), 0), images.select(3, 4))).toBeLessThan(1e-10);
    expect(maxDeviation(row(shift(0, 5), 15), images.select(2, 10))).toBeLessThan(1e-10);
    expect(maxDeviation(warp(images, [shift(0, 60)]), images.zerosLike())).toBe(0);
  });

  test("a smooth image follows any affine map", () => {
    // The wavelet's centre of mass, 5.098..., lies this far from where the pixels are counted from.
    const offset = (5 - 5.09826089954573) / 2;
    const random = uniforms(5);
    const image = sampled(spots);
    for (let i = 0; i < 12; i++) {
      const drawn = transform({
        scale: 3 * random() - 1.5,
        rotateFrac: 2 * Math.PI * random(),
        aniso: 3 * random() - 1.5,
        anisoDirection: 2 * Math.PI * random(),
        translateFracX: 2 * random() - 1,
        translateFracY: 2 * random() - 1,
      });
      const map = affineMapOf(drawn, settings, shape);
      const [a, b, c, d, e, f] = map;
      const expected = sampled((x, y) => {
        const [p, q] = [x - offset, y - offset];
        return mirroredSpots(a * p + b * q + c + offset, d * p + e * q + f + offset);
      });
      // Bilinear reading at steps of half a pixel errs by up to (1/2)² / 8 times each second derivative.
      expect(maxDeviation(warp(image, [map]), expected)).toBeLessThan(0.006);
    }
  });

  test("a quarter turn turns the image, but for the offset of the wavelet", () => {
    const image = sampled(spots);
    const turned = warp(image, [quarterTurn]);
    expect(maxDeviation(turned, image.transpose(2, 3).flip([2]))).toBeLessThan(0.02);
    expect(maxDeviation(turned, image.transpose(2, 3).flip([3]))).toBeGreaterThan(0.5);
  });

  test("a map and its inverse cancel", () => {
    const image = sampled(spots);
    const smaller = warp(image, [scaling(1.25)]);
    expect(maxDeviation(smaller, image)).toBeGreaterThan(0.2);
    const inside = (x: Tensor): Tensor => x.narrow(2, 8, 48).narrow(3, 8, 48);
    expect(maxDeviation(inside(warp(smaller, [scaling(0.8)])), inside(image))).toBeLessThan(0.01);
  });

  test("many images along one map are each alone along it, in float64 and nearly so in float32", () => {
    const images = normals([90, 3, 32, 32], 3);
    const map = affineMapOf(transform({ rotateFrac: 0.7, scale: -2 }), settings, {
      channels: 3,
      height: 32,
      width: 32,
    });
    const together = warp(images, [map]);
    for (const i of [0, 44, 89])
      expect(maxDeviation(warp(images.narrow(0, i, 1), [map]), together.narrow(0, i, 1))).toBeLessThan(1e-12);
    expect(maxDeviation(warp(images.float(), [map]), together)).toBeLessThan(2e-5);
  });

  test.each([
    [3, 32, 32],
    [1, 9, 14],
    [7, 12, 5],
  ])("the loop agrees with operators in float64 along any maps, %i channels of %i x %i", (channels, height, width) => {
    const random = uniforms(8);
    const geometry = { channels, height, width };
    const maps = Array.from({ length: 30 }, (_, k) =>
      affineMapOf(
        transform({
          scale: 10 * random() - 5,
          rotateFrac: k % 3 === 0 ? (k * Math.PI) / 2 : 6.3 * random(),
          aniso: 6 * random() - 3,
          anisoDirection: k % 3 === 0 ? 0 : 6.3 * random(),
          translateFracX: 8 * random() - 4,
          translateFracY: 8 * random() - 4,
        }),
        settings,
        geometry,
      ),
    );
    const images = normals([60, channels, height, width], 4, "float32");
    const exact = warp(images.double(), maps);
    expect(maxDeviation(warp(images, maps), exact)).toBeLessThan(5e-6);
    // Two images in a row for each map; one by one they go through shorter vectors.
    const each = Array.from({ length: 60 }, (_, i) => warp(images.narrow(0, i, 1), [maps[i >> 1] as AffineMap]));
    expect(maxDeviation(cat(each), exact)).toBeLessThan(5e-6);
  });

  test("gradients flow through the operators", () => {
    const image = normals([1, 1, 8, 8], 5, "float32").requiresGrad_();
    const map = affineMapOf(transform({ rotateFrac: 0.3 }), settings, { channels: 1, height: 8, width: 8 });
    const direction = normals([1, 1, 8, 8], 6, "float32");
    const [gradient] = grad([warp(image, [map]).mul(direction).sum()], [image]) as [Tensor];
    // Linear: <L x, v> = <x, L^T v>.
    const product = warp(image.detach(), [map]).mul(direction).sum().item();
    expect(image.detach().mul(gradient).sum().item()).toBeCloseTo(product, 4);
  });
});

describe("affineMapOf", () => {
  const mapOf = (values: Partial<Transform>): AffineMap => affineMapOf(transform(values), settings, shape);

  test("scale magnifies by 2^0.2 per standard deviation, translation moves to the right and down", () => {
    expect(maxDeviation(mapOf({ scale: 5 }), scaling(0.5))).toBeLessThan(1e-15);
    expect(maxDeviation(mapOf({ translateFracX: 1, translateFracY: -2 }), shift(-8, 16))).toBeLessThan(1e-12);
    expect(maxDeviation(mapOf({ rotateFrac: Math.PI / 2 }), quarterTurn)).toBeLessThan(1e-15);
  });

  test("aniso stretches along its direction and shrinks across it", () => {
    const direction = 0.6;
    const [a, b, , d, e] = mapOf({ aniso: 5, anisoDirection: direction });
    const [x, y] = [Math.cos(direction), -Math.sin(direction)];
    expect([a * x + b * y, d * x + e * y].map((v, i) => v / [x, y][i]!)).toEqual([
      expect.closeTo(0.5, 12),
      expect.closeTo(0.5, 12),
    ]);
    expect(a * e - b * d).toBeCloseTo(1, 12);
  });
});

describe("movePixels", () => {
  const image = tensor([
    [
      [
        [1, 2, 3],
        [4, 5, 6],
        [7, 8, 9],
      ],
    ],
  ]);
  const moved = (values: Partial<Transform>): unknown => movePixels(image, [transform(values)]).toArray();

  test("flips and quarter turns", () => {
    expect(moved({ xflip: 1 })).toEqual(image.flip([3]).toArray());
    expect(moved({ yflip: 1 })).toEqual(image.flip([2]).toArray());
    expect(moved({ rotateInt: 1 })).toEqual(image.flip([3]).transpose(2, 3).toArray());
    expect(moved({ rotateInt: 2 })).toEqual(image.flip([2, 3]).toArray());
    expect(moved({ rotateInt: 3 })).toEqual(image.flip([2]).transpose(2, 3).toArray());
    expect(moved({ xflip: 1, rotateInt: 1 })).toEqual(image.transpose(2, 3).toArray());
  });

  test("shifts to the right and upwards bring in the mirror image", () => {
    const rows = [
      [5, 4, 5],
      [8, 7, 8],
      [5, 4, 5],
    ];
    expect(moved({ translateIntX: 1, translateIntY: 1 })).toEqual([[rows]]);
  });

  test("an image that is not square cannot be turned", () => {
    expect(() => movePixels(normals([1, 1, 4, 6], 1), [transform({ rotateInt: 1 })])).toThrow(/square.*4 x 6/);
  });
});

describe("changeColours", () => {
  const changed = (images: Tensor, values: Partial<Transform>): Tensor =>
    changeColours(images, [transform(values)], { transforms: [], settings, shape });
  const pixel = (...channels: number[]): Tensor => tensor(channels, { dtype: "float64" }).view([1, -1, 1, 1]);
  const colour = pixel(0.5, -0.25, 0.125);
  const luminance = 0.125;

  test.each<[string, Partial<Transform>, number[]]>([
    ["brightness adds a fifth per standard deviation", { brightness: 2 }, [0.9, 0.15, 0.525]],
    ["contrast multiplies by the root of two", { contrast: 2 }, [1, -0.5, 0.25]],
    ["contrast multiplies what brightness has added", { brightness: 1, contrast: 2 }, [1.4, -0.1, 0.65]],
    ["the flip of luminance keeps the chroma", { lumaflip: 1 }, [0.5, -0.25, 0.125].map((v) => v - 2 * luminance)],
    ["a third of the circle of hues takes red to green", { hue: (2 * Math.PI) / 3 }, [0.125, 0.5, -0.25]],
    ["saturation multiplies the chroma", { saturation: 1 }, [0.5, -0.25, 0.125].map((v) => 2 * v - luminance)],
  ])("%s", (_, values, expected) => {
    expect(maxDeviation(changed(colour, values), expected)).toBeLessThan(1e-15);
  });

  test("grey images follow the luminance alone", () => {
    const grey = changed(pixel(0.5), { brightness: 1, contrast: 2, lumaflip: 1, hue: 1, saturation: 2 });
    expect(grey.item()).toBeCloseTo(-1.4, 12);
  });

  test("other numbers of channels are refused", () => {
    expect(() => changed(pixel(1, 2), { hue: 1 })).toThrow(/1 or 3 channels, found 2/);
  });
});

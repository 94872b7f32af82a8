/** The augmentation pipe: the published numbers, the law of its draws, its labels, and what it must not touch. */

import { cat, memory, scope, type Tensor } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { parametersFromDraws } from "../../../golden/augmentation.js";
import {
  applyAugmentation,
  flipsOf,
  isFlipOnly,
  transformDifferences,
  transformWith,
} from "../src/augmentation/apply.js";
import { augmentationLabels, augmentDim } from "../src/augmentation/labels.js";
import {
  type AugmentationParameters,
  drawAugmentation,
  noTransform,
  type Transform,
  transformOf,
} from "../src/augmentation/parameters.js";
import { augmentationSettings, augmentations } from "../src/augmentation/settings.js";
import { golden, goldenNumbers, maxDeviation, meanAndError, normals, sameBits, tensorsLeft } from "./support.js";

const shape = { channels: 3, height: 32, width: 32 };
const published = augmentationSettings({ probability: 0.12 });
const everything = augmentationSettings({
  probability: 0.3,
  multipliers: Object.fromEntries(augmentations.map((name) => [name, 1])),
});
/** One value of every transform. */
const column = ({ transforms }: AugmentationParameters, name: keyof Transform): Float64Array =>
  Float64Array.from(transforms, (transform) => transform[name]);

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const isUntouched = (parameters: AugmentationParameters, row: number): boolean => {
  const { horizontal, vertical } = flipsOf(parameters, row);
  return isFlipOnly(parameters, row) && !horizontal && !vertical;
};
const rowOf = (images: Tensor, row: number): Tensor => images.narrow(0, row, 1);

describe("the published numbers", () => {
  const file = golden("augmentation");
  const configs = JSON.parse(file.metadata["configs"]!) as Record<string, Record<string, number>>;

  function parametersFrom(name: string, [count, channels, height, width]: readonly number[]): AugmentationParameters {
    const imageShape = { channels: channels!, height: height!, width: width! };
    return parametersFromDraws(configs[name]!, count!, imageShape, (index) =>
      goldenNumbers(file, `${name}.draw_${String(index).padStart(3, "0")}`),
    );
  }

  test.each(Object.keys(configs))("%s", (name) => {
    const images = file.tensors.get(
      name === "cifar" ? "cifar.images" : name.startsWith("gray") ? "images_gray" : "images",
    )!;
    const parameters = parametersFrom(name, images.shape);
    const expected = goldenNumbers(file, `${name}.out`);
    expect(maxDeviation(applyAugmentation(images, parameters), expected)).toBeLessThan(1e-5);
    expect(maxDeviation(applyAugmentation(images.double(), parameters), expected)).toBeLessThan(1e-5);
    expect(maxDeviation(augmentationLabels(parameters), goldenNumbers(file, `${name}.labels`))).toBeLessThan(1e-6);
  });
});

describe("drawAugmentation", () => {
  const COUNT = 20_000;
  const drawn = drawAugmentation(published, shape, 11, range(COUNT));
  const indicator = (values: Float64Array): number[] => Array.from(values, (value) => Number(value !== 0));
  const near = (values: ArrayLike<number>, expected: number): void => {
    const { mean, error } = meanAndError(values);
    expect(Math.abs(mean - expected)).toBeLessThan(4 * error);
  };

  test("gates open with their probabilities", () => {
    near(column(drawn, "xflip"), 0.5);
    near(column(drawn, "yflip"), 0.12 / 2);
    for (const name of ["scale", "rotateFrac", "aniso", "translateFracX", "translateFracY"] as const) {
      near(indicator(column(drawn, name)), 0.12);
    }
    near(indicator(column(drawn, "anisoDirection")), 0.5);
    for (const name of ["rotateInt", "translateIntX", "hue", "brightness", "saturation"] as const) {
      expect(column(drawn, name).every((value) => value === 0)).toBe(true);
    }
  });

  test("gates are independent of each other, but one moves both axes", () => {
    const both = (left: Float64Array, right: Float64Array): number[] =>
      Array.from(left, (value, i) => Number(value !== 0 && right[i] !== 0));
    near(both(column(drawn, "scale"), column(drawn, "rotateFrac")), 0.12 ** 2);
    near(both(column(drawn, "aniso"), column(drawn, "scale")), 0.12 ** 2);
    near(both(column(drawn, "translateFracX"), column(drawn, "translateFracY")), 0.12);
    near(
      range(COUNT).map((row) => Number(isFlipOnly(drawn, row) && transformOf(drawn, row).yflip === 0)),
      0.94 * 0.88 ** 4,
    );
  });

  test("open gates let through normal numbers and uniform angles", () => {
    const open = (values: Float64Array): Float64Array => values.filter((value) => value !== 0);
    for (const name of ["scale", "aniso", "translateFracX", "translateFracY"] as const) {
      near(open(column(drawn, name)), 0);
      near(
        open(column(drawn, name)).map((value) => value ** 2),
        1,
      );
    }
    for (const name of ["rotateFrac", "anisoDirection"] as const) {
      near(open(column(drawn, name)), 0);
      near(
        open(column(drawn, name)).map((value) => value ** 2),
        Math.PI ** 2 / 3,
      );
    }
    const turns = drawAugmentation(everything, shape, 12, range(COUNT));
    near(
      open(column(turns, "rotateInt")).map((value) => Number(value === 2)),
      1 / 3,
    );
    expect(Math.max(...column(turns, "translateIntX"))).toBe(4);
    expect(Math.min(...column(turns, "translateIntY"))).toBe(-4);
  });

  test("a sample's transform depends on the seed and its number alone", () => {
    const some = drawAugmentation(published, shape, 11, [900, 7]);
    expect(transformOf(some, 1)).toEqual(transformOf(drawn, 7));
    expect(transformOf(some, 0)).toEqual(transformOf(drawn, 900));
    const other = drawAugmentation(published, shape, 12, range(COUNT));
    near(
      range(COUNT).map((row) => Number(transformOf(other, row).xflip === transformOf(drawn, row).xflip)),
      0.5,
    );
  });

  test("switching a transform on leaves the others as they are", () => {
    const multipliers = { ...published.multipliers, rotateInt: 1, hue: 1 };
    const more = drawAugmentation({ ...published, multipliers }, shape, 11, range(50));
    for (const name of ["yflip", "scale", "aniso", "translateFracY"] as const) {
      expect(column(more, name)).toEqual(column(drawn, name).subarray(0, 50));
    }
    expect(column(more, "hue").some((value) => value !== 0)).toBe(true);
  });
});

describe("augmentationLabels", () => {
  test("follow the formulas, in the order of the pipe", () => {
    const transform: Transform = {
      ...noTransform,
      ...{ xflip: 1, rotateInt: 2, translateIntX: 3, translateIntY: -1, scale: 0.3, rotateFrac: 2, aniso: -0.8 },
      ...{ anisoDirection: 0.4, translateFracX: 1.5, translateFracY: -0.5, brightness: 0.1, contrast: 0.2 },
      ...{ lumaflip: 1, hue: -1, saturation: 0.7 },
    };
    const labels = augmentationLabels({
      transforms: [transform],
      settings: everything,
      shape: { ...shape, height: 16 },
    });
    expect(labels.shape).toEqual([1, augmentDim(everything)]);
    const geometry = [1, 0, 1, 1, 3 / 4, -1 / 2, 0.3, Math.cos(2) - 1, Math.sin(2)];
    const aniso = [-0.8 * Math.cos(0.4), -0.8 * Math.sin(0.4)];
    const rest = [1.5, -0.5, 0.1, 0.2, 1, Math.cos(1) - 1, -Math.sin(1), 0.7];
    expect(maxDeviation(labels, [...geometry, ...aniso, ...rest])).toBeLessThan(1e-6);
    const turns = [0, 1, 2, 3].map((rotateInt) => ({ ...noTransform, rotateInt }));
    const settings = augmentationSettings({ probability: 1, multipliers: { rotateInt: 1 } });
    expect(augmentationLabels({ transforms: turns, settings, shape }).toArray()).toEqual([
      [0, 0],
      [1, 0],
      [1, 1],
      [0, 1],
    ]);
  });

  test("are nine in the published training, and zero for an image that stays as it is", () => {
    expect(augmentDim(published)).toBe(9);
    const labels = augmentationLabels({ transforms: [noTransform], settings: published, shape });
    expect(labels.toArray()).toEqual([[0, 0, 0, 0, 0, 0, 0, 0, 0]]);
  });
});

describe("applyAugmentation", () => {
  const COUNT = 48;
  const images = normals([COUNT, 3, 32, 32], 8, "float32").clamp(-1, 1);
  const parameters = drawAugmentation(published, shape, 5, range(COUNT));
  const result = applyAugmentation(images, parameters);
  const rows = range(COUNT);

  test("keeps every bit where there are flips or nothing", () => {
    const kept = rows.filter((row) => isFlipOnly(parameters, row));
    const untouched = rows.filter((row) => isUntouched(parameters, row));
    expect(kept.length).toBeGreaterThan(untouched.length);
    expect(untouched.length).toBeGreaterThan(5);
    for (const row of kept) {
      const { horizontal, vertical } = flipsOf(parameters, row);
      const axes = [...(vertical ? [2] : []), ...(horizontal ? [3] : [])];
      expect(axes.length === 0).toBe(isUntouched(parameters, row));
      expect(sameBits(rowOf(result, row), rowOf(images, row).flip(axes))).toBe(true);
    }
    for (const row of rows.filter((row) => !kept.includes(row))) {
      expect(maxDeviation(rowOf(result, row), rowOf(images, row))).toBeGreaterThan(0.1);
    }
  });

  test("counts half a turn as two flips, and a quarter turn, a shift or a colour as more than flips", () => {
    const of = (values: Partial<Transform>) => ({
      transforms: [{ ...noTransform, ...values }],
      settings: everything,
      shape,
    });
    const half = of({ rotateInt: 2, xflip: 1 });
    expect(isFlipOnly(half, 0)).toBe(true);
    expect(flipsOf(half, 0)).toEqual({ horizontal: false, vertical: true });
    expect(flipsOf(of({ rotateInt: 2, xflip: 1, yflip: 1 }), 0)).toEqual({ horizontal: false, vertical: false });
    const beyond: Partial<Transform>[] = [
      { rotateInt: 1 },
      { translateIntX: 1 },
      { translateIntY: -1 },
      { scale: 0.1 },
      { translateFracY: 1 },
      { saturation: 1 },
    ];
    for (const values of beyond) expect(isFlipOnly(of(values), 0)).toBe(false);
    expect(() => isFlipOnly(half, 1)).toThrow(/row must be one of 0 to 0, found 1/);
  });

  test.each([
    ["published", published, 1e-5],
    // Contrast and saturation magnify what the warp has rounded.
    ["everything", everything, 5e-5],
  ] as const)(
    "an image's result does not depend on the others, in any layout or dtype: %s",
    (_, settings, rounding) => {
      const drawn = drawAugmentation(settings, shape, 6, rows);
      const exact = applyAugmentation(images.double(), drawn);
      const single = applyAugmentation(images, drawn);
      expect(maxDeviation(single, exact)).toBeLessThan(rounding);
      const last = applyAugmentation(images.to({ memoryFormat: "channelsLast" }), drawn);
      expect(last.strides[1]).toBe(1);
      expect(sameBits(last, single)).toBe(true);
      for (const row of rows) {
        const alone = drawAugmentation(settings, shape, 6, [row]);
        const image = rowOf(images, row);
        expect(maxDeviation(applyAugmentation(image.double(), alone), rowOf(exact, row))).toBeLessThan(1e-12);
        expect(maxDeviation(applyAugmentation(image, alone), rowOf(exact, row))).toBeLessThan(rounding);
        expect(maxDeviation(transformWith(image.double(), drawn, row), rowOf(exact, row))).toBeLessThan(1e-12);
      }
    },
  );

  test("transformWith takes several images through one transform", () => {
    const drawn = drawAugmentation(everything, shape, 6, rows);
    const references = normals([5, 3, 32, 32], 9);
    const row = rows.find(
      (r) =>
        transformOf(drawn, r).hue !== 0 &&
        transformOf(drawn, r).rotateInt === 1 &&
        transformOf(drawn, r).rotateFrac !== 0,
    )!;
    const same = { transforms: Array(5).fill(transformOf(drawn, row)), settings: everything, shape };
    const transformed = transformWith(references, drawn, row);
    expect(maxDeviation(transformed, applyAugmentation(references, same))).toBeLessThan(1e-12);
  });

  test("transformDifferences gives the differences of transformed images, several for each transform", () => {
    const drawn = drawAugmentation(everything, shape, 6, rows);
    const others = normals([rows.length, 2, 3, 32, 32], 10);
    const differences = others.sub(images.double().unsqueeze(1));
    const expected = [0, 1].map((k) =>
      applyAugmentation(others.select(1, k), drawn).sub(applyAugmentation(images.double(), drawn)),
    );
    const found = transformDifferences(differences, drawn);
    expected.forEach((wanted, k) => void expect(maxDeviation(found.select(1, k), wanted)).toBeLessThan(1e-12));
    // Of differences that float32 holds exactly, the transforms are off by a rounding of their own size.
    const tiny = differences.mul(2 ** -30).float();
    expect(maxDeviation(transformDifferences(tiny, drawn), transformDifferences(tiny.double(), drawn))).toBeLessThan(
      5e-14,
    );
    const warped = { ...drawn, transforms: rows.map(() => ({ ...noTransform, scale: 0.5 })) };
    const three = cat([others, others], 1);
    expect(
      maxDeviation(transformDifferences(three.narrow(1, 0, 2), warped), transformDifferences(others, warped)),
    ).toBe(0);
    expect(transformDifferences(differences.narrow(1, 0, 0), drawn).shape).toEqual([rows.length, 0, 3, 32, 32]);
    expect(() => transformDifferences(differences.narrow(0, 0, 2), drawn)).toThrow(/differences must have shape/);
  });

  test("leaves its input alone and no tensors behind", () => {
    const before = images.clone();
    scope(() => {
      const live = memory().tensors;
      applyAugmentation(images, parameters);
      expect(memory().tensors - live).toBe(1);
      transformWith(images, parameters, 0);
      augmentationLabels(parameters);
      expect(memory().tensors - live).toBe(3);
    });
    expect(tensorsLeft(() => void applyAugmentation(images, parameters))).toBe(0);
    expect(sameBits(images, before)).toBe(true);
    before.dispose();
  });

  test("images of another shape are refused", () => {
    expect(() => applyAugmentation(images.narrow(0, 0, 3), parameters)).toThrow(
      /images must have shape \[48, 3, 32, 32\]/,
    );
    expect(() => transformWith(images.narrow(2, 0, 30), parameters, 0)).toThrow(/\[any, 3, 32, 32\]/);
  });
});

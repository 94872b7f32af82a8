/** Near duplicates against correlations computed straight from the definition, and moments of values against all values. */

import { describe, expect, test } from "vitest";
import { type Picture, resizeLanczos } from "../src/codecs/lanczos.js";
import { LEAST_CORRELATION, Thumbnails } from "../src/data/near-duplicates.js";
import { withChannels } from "../src/data/transforms.js";
import { ValueMoments } from "../src/data/value-statistics.js";
import { randomBytes, tensorsLeft, uniforms } from "./support.js";

/** Smooth random colours. */
function picture(seed: number, width = 48, height = 32): Picture {
  const coarse = { pixels: randomBytes(6 * 5 * 3, seed), width: 6, height: 5, channels: 3 };
  return resizeLanczos(coarse, width, height);
}

function pairsOf(pictures: readonly Picture[]): ReturnType<Thumbnails["pairs"]> {
  const thumbnails = new Thumbnails(pictures.length);
  pictures.forEach((one, index) => void thumbnails.add(index, one));
  const pairs = thumbnails.pairs();
  thumbnails.dispose();
  return pairs;
}

const adjusted = (one: Picture, change: (value: number, i: number) => number): Picture => ({
  ...one,
  pixels: one.pixels.map(change),
});

describe("near duplicates", () => {
  test("are copies with other sizes, brightness, contrast and a little noise, and nothing else", () => {
    const random = uniforms(5);
    const pictures = Array.from({ length: 40 }, (_, i) => picture(i + 1));
    const copies = [
      resizeLanczos(pictures[3] as Picture, 31, 37),
      adjusted(pictures[7] as Picture, (value) => 0.6 * value + 20),
      adjusted(pictures[11] as Picture, (value) => Math.min(255, Math.max(0, value + 8 * (random() - 0.5)))),
      adjusted(pictures[13] as Picture, (value, i) => (i % 3 === 0 ? 255 - value : value)),
    ];
    const found = pairsOf([...pictures, ...copies]).map(({ first, second }) => [first, second]);
    expect(found).toEqual([
      [3, 40],
      [7, 41],
      [11, 42],
    ]);
  });

  test("have the correlation of mean colours in 16x16 cells", () => {
    // One pixel per cell: the thumbnail is the image.
    const [a, b] = [picture(1, 16, 16), adjusted(picture(1, 16, 16), (value, i) => Math.max(0, value - (i % 7)))];
    const [x, y] = [a, b].map(({ pixels }) => Array.from(pixels)) as [number[], number[]];
    const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
    const centred = (values: readonly number[]): number[] => values.map((value) => value - mean(values));
    const dot = (p: readonly number[], q: readonly number[]): number =>
      p.reduce((sum, value, i) => sum + value * (q[i] as number), 0);
    const [p, q] = [centred(x), centred(y)];
    const expected = dot(p, q) / Math.sqrt(dot(p, p) * dot(q, q));
    expect(expected).toBeGreaterThan(LEAST_CORRELATION);
    expect(pairsOf([a, b])[0]?.correlation).toBeCloseTo(expected, 5);
  });

  test("are found across blocks, each pair once; grey images are compared with coloured ones", () => {
    const grey = withChannels(picture(2), 1);
    const flat = { ...grey, pixels: grey.pixels.slice().fill(9) };
    const pictures = Array.from({ length: 2100 }, (_, i) => (i === 1 || i === 2099 ? grey : flat));
    pictures[2050] = withChannels(grey, 3);
    expect(pairsOf(pictures).map(({ first, second }) => [first, second])).toEqual([
      [1, 2050],
      [1, 2099],
      [2050, 2099],
    ]);
  });

  test("leave no tensors behind", () => {
    expect(tensorsLeft(() => void pairsOf([picture(1), picture(1)]))).toBe(0);
  });
});

describe("moments of the values", () => {
  test("are those of all values", () => {
    const pictures = [1, 2, 3].map((seed) => picture(seed));
    const moments = new ValueMoments();
    for (const one of pictures) moments.add(one);
    const all = pictures.flatMap(({ pixels }) => Array.from(pixels));
    const spread = (values: readonly number[]): [number, number] => {
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
      return [mean, Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length)];
    };
    const found = moments.statistics;
    for (let c = 0; c < 3; c++) {
      const [mean, contrast] = spread(all.filter((_, i) => i % 3 === c));
      expect(found?.mean[c]).toBeCloseTo(mean, 9);
      expect(found?.contrast[c]).toBeCloseTo(contrast, 9);
    }
    expect(found?.sigmaData).toBeCloseTo(spread(all.map((value) => value / 127.5 - 1))[1], 9);
  });

  test("weight images equally whatever their size, and take grey ones as RGB among coloured ones", () => {
    const grey = (value: number, size: number): Picture => ({
      pixels: new Uint8Array(size).fill(value),
      width: size,
      height: 1,
      channels: 1,
    });
    const moments = new ValueMoments();
    moments.add(grey(0, 1000));
    moments.add(grey(255, 3));
    expect(moments.statistics).toEqual({ mean: [127.5], contrast: [127.5], sigmaData: 1 });
    moments.add({ pixels: Uint8Array.of(0, 255, 51), width: 1, height: 1, channels: 3 });
    const { mean = [] } = moments.statistics ?? {};
    expect(mean.map((value) => 3 * value)).toEqual([255, 510, 306]);
    expect(new ValueMoments().statistics).toBeUndefined();
  });
});

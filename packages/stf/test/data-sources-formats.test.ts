/** Kinds of PNG and JPEG files, pixel by pixel. */

import { encode, type ImageData } from "fast-png";
import sharp, { type JpegOptions } from "sharp";
import { describe, expect, test } from "vitest";
import type { ImageBank } from "../src/data/image-bank.js";
import { openDataset } from "../src/data/open.js";
import { type Files, makeFolder, pattern, pixelsOf, plainJpeg, plainPng, png } from "./data-sources-support.js";

const [width, height] = [7, 5];
const area = width * height;

function open(files: Files): Promise<ImageBank> {
  return openDataset(makeFolder(files));
}

/** The planes that should result from values in the order H, W, channels: alpha is dropped. */
function planes(values: ArrayLike<number>, channels: number): number[] {
  const kept = channels < 3 ? 1 : 3;
  return Array.from({ length: kept * area }, (_, i) => values[(i % area) * channels + Math.floor(i / area)] as number);
}

describe("PNG", () => {
  describe.each([
    ["grey", 1],
    ["grey with alpha", 2],
    ["RGB", 3],
    ["RGB with alpha", 4],
  ])("%s", (_, channels) => {
    const values = pattern(area * channels);
    const wide = pattern(area * channels, { limit: 65535, seed: channels });
    const raw = { raw: { width, height, channels: channels as 1 | 2 | 3 | 4 } };

    test("of 8 bits keeps every value", async () => {
      const bank = await open({ "1.png": png(values, width, height, channels) });
      expect(bank.shape).toEqual({ channels: channels < 3 ? 1 : 3, height, width });
      expect(pixelsOf(bank, 0)).toEqual(planes(values, channels));
    });

    test("of 16 bits keeps the upper 8", async () => {
      const image: ImageData = { width, height, channels, depth: 16, data: Uint16Array.from(wide) };
      const bank = await open({ "1.png": encode(image) });
      const upper = wide.map((value) => value >> 8);
      expect(pixelsOf(bank, 0)).toEqual(planes(upper, channels));
    });

    test.each([
      ["filtered", { adaptiveFiltering: true, compressionLevel: 9 }],
      ["interlaced", { progressive: true }],
    ])("%s keeps every value", async (_, options) => {
      const colours = channels < 3 ? "b-w" : "srgb";
      // A ramp with noise, so that the encoder finds use for every filter.
      const ramp = values.map((value, i) => (3 * i + (value >> 6)) % 256);
      const file = await sharp(Buffer.from(ramp), raw).toColourspace(colours).png(options).toBuffer();
      expect(pixelsOf(await open({ "1.png": file }), 0)).toEqual(planes(ramp, channels));
    });
  });

  test("every filter is undone", async () => {
    // 64 rows of a photograph-like picture: libpng then chooses among all five.
    const [columns, rows] = [64, 64];
    const noise = pattern(columns * rows * 3, { limit: 20 });
    const values = noise.map((value, i) => {
      const [x, y] = [Math.floor(i / 3) % columns, Math.floor(i / (3 * columns))];
      return Math.round(115 + 60 * Math.sin(x / 9) + 50 * Math.cos((x * y) / 200)) + (y % 4 === 0 ? value : 0);
    });
    const picture = sharp(Buffer.from(values), { raw: { width: columns, height: rows, channels: 3 } });
    const file = await picture.png({ adaptiveFiltering: true }).toBuffer();
    const bank = await open({ "1.png": file });
    const expected = [0, 1, 2].flatMap((channel) => values.filter((_, i) => i % 3 === channel));
    expect(pixelsOf(bank, 0)).toEqual(expected);
  });

  test.each([1, 2, 4, 8] as const)("with a palette of %i bits is RGB", async (depth) => {
    const palette = Array.from({ length: 2 ** depth }, (_, i) => [i % 256, (7 * i) % 256, 255 - (i % 256)]);
    const indices = pattern(area, { limit: palette.length - 1 });
    const image: ImageData = { width, height, channels: 1, depth, palette, data: packed(indices, depth) };
    const colours = indices.flatMap((index) => palette[index] as number[]);
    const bank = await open({ "1.png": encode(image) });
    expect(bank.shape.channels).toBe(3);
    expect(pixelsOf(bank, 0)).toEqual(planes(colours, 3));
  });
});

/** Rows of values of `depth` bits, each row beginning at a byte. */
function packed(values: readonly number[], depth: number): Uint8Array {
  const stride = Math.ceil((width * depth) / 8);
  const bytes = new Uint8Array(height * stride);
  values.forEach((value, i) => {
    const [bit, row] = [(i % width) * depth, Math.floor(i / width)];
    const place = row * stride + Math.floor(bit / 8);
    bytes[place] = (bytes[place] as number) | (value << (8 - depth - (bit % 8)));
  });
  return bytes;
}

describe("JPEG", () => {
  test("comes within its losses, in the order of the paths, alone or among others", async () => {
    const colours = Array.from({ length: 45 }, (_, i) => [5 * i, 200 - 3 * i, (i * 37) % 256]);
    const files = await Promise.all(colours.map((colour) => plainJpeg(colour)));
    const bank = await open(Object.fromEntries(files.map((file, i) => [`${String(i).padStart(2, "0")}.jpg`, file])));
    expect(bank.shape).toEqual({ channels: 3, height: 16, width: 16 });
    for (const [i, colour] of colours.entries()) {
      const image = pixelsOf(bank, i);
      for (const [channel, value] of colour.entries()) {
        expect(Math.abs((image[256 * channel + 100] as number) - value)).toBeLessThanOrEqual(3);
      }
      const alone = await open({ "1.jpeg": files[i] as Buffer });
      expect(pixelsOf(alone, 0)).toEqual(image);
    }
  });

  test("is grey when it stores one channel", async () => {
    const bank = await open({ "1.jpg": await plainJpeg([77]), "2.jpg": await plainJpeg([200]) });
    expect(bank.shape.channels).toBe(1);
    expect(pixelsOf(bank, 0).every((value) => Math.abs(value - 77) <= 2)).toBe(true);
    expect(pixelsOf(bank, 1).every((value) => Math.abs(value - 200) <= 2)).toBe(true);
  });

  /** A picture with smooth parts, edges and noise, in a file of the given kind. */
  function picture(
    seed: number,
    columns: number,
    rows: number,
    channels: 1 | 3,
    options: JpegOptions,
  ): Promise<Buffer> {
    const noise = pattern(columns * rows * channels, { seed });
    const values = noise.map((value, i) => {
      const smooth = 128 + 90 * Math.sin((i * seed) / (60 * channels));
      return seed % 3 === 0 ? 255 * (value >> 7) : Math.round(smooth + (value % (8 * seed)) / 4);
    });
    const image = sharp(Buffer.from(values), { raw: { width: columns, height: rows, channels } });
    return (channels === 1 ? image.toColourspace("b-w") : image).jpeg(options).toBuffer();
  }

  async function generalDecoder(file: Buffer, channels: 1 | 3): Promise<Uint8Array> {
    const values = await sharp(file).raw().toBuffer();
    return channels === 3 ? values : values.filter((_, i) => i % 3 === 0);
  }

  test.each<[string, number, number, JpegOptions]>([
    ["progressive", 16, 16, { progressive: true }],
    ["narrow, with halved chroma", 4, 16, { chromaSubsampling: "4:2:0" }],
    ["large", 120, 100, {}],
  ])("%s files go to the general decoder", async (_, columns, rows, options) => {
    const file = await picture(1, columns, rows, 3, options);
    const expected = await generalDecoder(file, 3);
    const bank = await open({ "1.jpg": file });
    const found = pixelsOf(bank, 0);
    const planar = [0, 1, 2].flatMap((channel) => Array.from(expected).filter((_, i) => i % 3 === channel));
    expect(found).toEqual(planar);
  });

  test("of four inks becomes RGB", async () => {
    const values = Buffer.alloc(16 * 16 * 3, 128);
    const picture = sharp(values, { raw: { width: 16, height: 16, channels: 3 } }).toColourspace("cmyk");
    const bank = await open({ "1.jpg": await picture.jpeg().toBuffer() });
    expect(bank.shape.channels).toBe(3);
    expect(pixelsOf(bank, 0).every((value) => Math.abs(value - 128) < 30)).toBe(true);
  });
});

describe("mixed files", () => {
  test("one coloured image makes the set RGB, and grey values are repeated", async () => {
    const greys = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${10 + i}.png`, plainPng([i], 16, 16)]));
    const bank = await open({
      ...greys,
      "60.jpg": await plainJpeg([9]),
      "61.png": plainPng([1, 2, 3], 16, 16),
      "62.jpg": await plainJpeg([250]),
      "63.jpg": await plainJpeg([200, 100, 50]),
      "64.png": plainPng([5, 128], 16, 16),
    });
    expect(bank.shape.channels).toBe(3);
    expect(bank.count).toBe(45);
    for (let i = 0; i < 40; i++) expect(new Set(pixelsOf(bank, i))).toEqual(new Set([i]));
    expect(pixelsOf(bank, 41)).toEqual([1, 2, 3].flatMap((value) => Array.from({ length: 256 }, () => value)));
    expect(new Set(pixelsOf(bank, 44))).toEqual(new Set([5]));
    for (const [index, value] of [
      [40, 9],
      [42, 250],
    ] as const) {
      expect(pixelsOf(bank, index).every((found) => Math.abs(found - value) <= 2)).toBe(true);
    }
  });

  test("the content decides, not the name", async () => {
    const bank = await open({ "1.jpg": plainPng([1, 2, 3], 16, 16), "2.png": await plainJpeg([1, 2, 3]) });
    expect(pixelsOf(bank, 0).slice(0, 2)).toEqual([1, 1]);
    expect(bank.count).toBe(2);
  });
});

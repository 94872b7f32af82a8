/** Crops and resampling against values made with PIL, and their properties. */

import { readFileSync } from "node:fs";
import { decode } from "fast-png";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { type Picture, resizeLanczos } from "../src/codecs/lanczos.js";
import { encodeStoredPng } from "../src/codecs/stored-png.js";
import { type TransformName, type TransformOptions, transformImage } from "../src/data/transforms.js";
import { randomBytes } from "./support.js";

interface StoredCase {
  readonly transform: TransformName;
  readonly source: {
    readonly width: number;
    readonly height: number;
    readonly channels: number;
    readonly pixels: string;
  };
  readonly resolution: [number, number];
  readonly result: { readonly width: number; readonly height: number; readonly pixels: string } | null;
}

const stored = JSON.parse(
  readFileSync(new URL("./fixtures/transforms/transforms.json", import.meta.url), "utf8"),
) as StoredCase[];

const as = (options: Partial<TransformOptions>): TransformOptions => ({
  pad: 0,
  crop: null,
  transform: "none",
  resolution: null,
  channels: null,
  ...options,
});

const random = (width: number, height: number, channels: number, seed = 1): Picture => ({
  pixels: randomBytes(width * height * channels, seed),
  width,
  height,
  channels,
});

describe("as PIL computes them, to the bit", () => {
  test.each(
    stored.map((one) => [`${one.transform} ${one.source.width}x${one.source.height} to ${one.resolution}`, one]),
  )("%s", (_, one) => {
    const { transform, source, resolution, result } = one as StoredCase;
    const found = transformImage(
      { ...source, pixels: Buffer.from(source.pixels, "base64") },
      as({ transform, resolution }),
    );
    if (result === null) expect(found).toBeUndefined();
    else {
      expect([found?.width, found?.height, found?.channels]).toEqual([result.width, result.height, source.channels]);
      expect(Buffer.compare(Buffer.from(found?.pixels ?? []), Buffer.from(result.pixels, "base64"))).toBe(0);
    }
  });

  test("some are rejected and some are not", () => {
    const wide = stored
      .filter(({ transform }) => transform === "center-crop-wide")
      .map(({ result }) => result === null);
    expect(new Set(wide)).toEqual(new Set([true, false]));
  });
});

describe("resampling", () => {
  test("keeps constant images, and images of the same size", () => {
    const flat = { ...random(37, 23, 3), pixels: new Uint8Array(37 * 23 * 3).fill(201) };
    expect(new Set(resizeLanczos(flat, 11, 64).pixels)).toEqual(new Set([201]));
    const picture = random(5, 7, 1);
    expect(resizeLanczos(picture, 5, 7)).toBe(picture);
  });

  test("treats each channel alone", () => {
    const rgb = random(33, 21, 3);
    const result = resizeLanczos(rgb, 16, 16).pixels;
    for (let c = 0; c < 3; c++) {
      const channel = { ...rgb, channels: 1, pixels: rgb.pixels.filter((_, i) => i % 3 === c) };
      expect(resizeLanczos(channel, 16, 16).pixels).toEqual(result.filter((_, i) => i % 3 === c));
    }
  });
});

describe("crops", () => {
  const numbered: Picture = { pixels: Uint8Array.from({ length: 30 }, (_, i) => i), width: 6, height: 5, channels: 1 };

  test("are centred, with the smaller remainder above and on the left", () => {
    expect([...(transformImage(numbered, as({ crop: 3 }))?.pixels ?? [])]).toEqual([7, 8, 9, 13, 14, 15, 19, 20, 21]);
    expect([...(transformImage(numbered, as({ crop: 2 }))?.pixels ?? [])]).toEqual([8, 9, 14, 15]);
    expect(transformImage(numbered, as({ crop: 6 }))).toBeUndefined();
  });

  test("come before the other transform", () => {
    const picture = random(40, 30, 3);
    const square = transformImage(picture, as({ crop: 20 })) as Picture;
    const found = transformImage(picture, as({ crop: 20, transform: "center-crop", resolution: [8, 8] }));
    expect(found?.pixels).toEqual(resizeLanczos(square, 8, 8).pixels);
  });

  test("padding is black and on every side", () => {
    const padded = transformImage(numbered, as({ pad: 2 })) as Picture;
    expect([padded.width, padded.height]).toEqual([10, 9]);
    expect(transformImage(padded, as({ crop: 5 }))?.pixels).toEqual(transformImage(numbered, as({ crop: 5 }))?.pixels);
    expect(padded.pixels.reduce((sum, value) => sum + value, 0)).toBe((29 * 30) / 2);
  });
});

test("channels: grey values are repeated; colours become luma, and grey ones of them their value", () => {
  const grey = random(4, 3, 1);
  const rgb = transformImage(grey, as({ channels: 3 })) as Picture;
  expect([...rgb.pixels]).toEqual([...grey.pixels].flatMap((value) => [value, value, value]));
  expect(transformImage(rgb, as({ channels: 1 }))?.pixels).toEqual(grey.pixels);
  const colours = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 10, 200, 30);
  const luma = transformImage({ pixels: colours, width: 4, height: 1, channels: 3 }, as({ channels: 1 }));
  // Image.convert("L") of PIL.
  expect([...(luma?.pixels ?? [])]).toEqual([76, 150, 29, 124]);
});

test.each([1, 3])("a stored PNG of %i channels is read by two decoders", async (channels) => {
  const picture = random(19, 300, channels);
  const file = encodeStoredPng(picture);
  expect(file.length).toBeLessThan(picture.pixels.length + 600);
  const image = decode(file, { checkCrc: true });
  expect([image.width, image.height, image.channels, image.depth]).toEqual([19, 300, channels, 8]);
  expect(Uint8Array.from(image.data)).toEqual(picture.pixels);
  const data = await sharp(file)
    .toColourspace(channels === 1 ? "b-w" : "srgb")
    .raw()
    .toBuffer();
  expect(new Uint8Array(data)).toEqual(picture.pixels);
});

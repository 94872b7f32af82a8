/** Kinds of PNG and JPEG files, pixel by pixel. */

import { deflateSync, inflateSync } from "node:zlib";
import { encode, type ImageData } from "fast-png";
import sharp, { type JpegOptions } from "sharp";
import { describe, expect, test } from "vitest";
import { encodeChunk, pngChunks } from "../src/codecs/png-chunks.js";
import type { ImageBank } from "../src/data/image-bank.js";
import { openDataset } from "../src/data/open.js";
import {
  type Files,
  failure,
  makeFolder,
  pattern,
  pixelsOf,
  plainJpeg,
  plainPng,
  png,
} from "./data-sources-support.js";

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
    const file = await picture.jpeg().toBuffer();
    const inks = await sharp(file, { ignoreIcc: true })
      .pipelineColourspace("cmyk")
      .toColourspace("cmyk")
      .raw()
      .toBuffer();
    const [c = 0, m = 0, y = 0, k = 0] = inks;
    const bank = await open({ "1.jpg": file });
    expect(bank.shape.channels).toBe(3);
    // What the inks leave of white, as PIL has it.
    const light = [c, m, y].map((ink) => Math.round(((255 - ink) * (255 - k)) / 255));
    [0, 1, 2].forEach((i) => {
      expect(Math.abs((pixelsOf(bank, 0)[256 * i] as number) - (light[i] as number))).toBeLessThanOrEqual(1);
    });
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

describe("sound pixels among odd bytes", () => {
  const values = pattern(area * 3);
  const whole = png(values, width, height, 3);
  const palette = encode({
    width,
    height,
    channels: 1,
    depth: 8,
    palette: Array.from({ length: 256 }, (_, i) => [i, 255 - i, i >> 1]),
    data: Uint8Array.from(values.slice(0, area)),
  });
  const colours = values.slice(0, area).flatMap((i) => [i, 255 - i, i >> 1]);

  /** The same file with its chunks changed. */
  function changed(file: Uint8Array, change: (type: string, data: Uint8Array) => (Uint8Array | undefined)[]): Buffer {
    const parts = Array.from(pngChunks(file)).flatMap(({ type, data }) => change(type, data));
    return Buffer.concat([file.subarray(0, 8), ...parts.filter((part) => part !== undefined)]);
  }
  const withChunk = (file: Uint8Array, extra: Uint8Array): Buffer =>
    changed(file, (type, data) => [encodeChunk(type, data), type === "IHDR" ? extra : undefined]);
  const wrongSum = (chunk: Buffer): Buffer => Buffer.concat([chunk.subarray(0, -4), Buffer.from("sums")]);
  const dataChanged = (file: Uint8Array, change: (data: Uint8Array) => Uint8Array): Buffer =>
    changed(file, (type, data) => [encodeChunk(type, type === "IDAT" ? change(data) : data)]);

  /** What openDataset says and reads. */
  async function read(file: Uint8Array): Promise<{ pixels: number[]; notes: string[] }> {
    const notes: string[] = [];
    const folder = makeFolder({ "1.png": file });
    const bank = await openDataset(folder, { onNote: (line) => notes.push(line) });
    return { pixels: pixelsOf(bank, 0), notes };
  }
  const ODD = ["1 of 1 images have intact pixels, which were read, but damaged or stray bytes elsewhere: 1.png"];

  test.each<[string, (file: Uint8Array) => Uint8Array]>([
    ["bytes after the end", (file) => Buffer.concat([file, Buffer.from("more")])],
    ["no end", (file) => file.subarray(0, -12)],
    ["half an end", (file) => file.subarray(0, -5)],
    [
      "a wrong checksum of the pixels, whose own is right",
      (file) =>
        changed(file, (type, data) => [type === "IDAT" ? wrongSum(encodeChunk(type, data)) : encodeChunk(type, data)]),
    ],
  ])("%s in a PNG", async (_, damage) => {
    expect(await read(damage(whole))).toEqual({ pixels: planes(values, 3), notes: ODD });
    expect(await read(damage(palette))).toEqual({ pixels: planes(colours, 3), notes: ODD });
  });

  test.each<[string, Uint8Array]>([
    ["a colour profile that is none", encodeChunk("iCCP", Buffer.from("x\0\0none"))],
    ["a text without a name", encodeChunk("tEXt", Buffer.from("\0text"))],
    ["a text with a wrong checksum", wrongSum(encodeChunk("tEXt", Buffer.from("a\0b")))],
    ["a transparent colour that is none", encodeChunk("tRNS", Buffer.from("12345"))],
  ])("%s in a PNG", async (_, extra) => {
    expect(await read(withChunk(whole, extra))).toEqual({ pixels: planes(values, 3), notes: ODD });
    expect((await read(withChunk(palette, extra))).pixels).toEqual(planes(colours, 3));
  });

  test("a checksum of the compressed data that is cut off does not matter, one that is wrong beside another wrong one does", async () => {
    expect((await read(dataChanged(whole, (data) => data.subarray(0, -4)))).pixels).toEqual(planes(values, 3));
    const damaged = changed(whole, (type, data) => {
      if (type !== "IDAT") return [encodeChunk(type, data)];
      const other = Uint8Array.from(inflateSync(data), (value, i) => (i === 20 ? value ^ 1 : value));
      return [wrongSum(encodeChunk(type, Buffer.concat([deflateSync(other).subarray(0, -4), data.subarray(-4)])))];
    });
    expect(await failure(read(damaged))).toMatch(/cannot be decoded/);
  });

  test.each<[string, Uint8Array]>([
    [
      "a header whose checksum is wrong",
      changed(whole, (type, data) => [type === "IHDR" ? wrongSum(encodeChunk(type, data)) : encodeChunk(type, data)]),
    ],
    ["half of the file", whole.subarray(0, whole.length / 2)],
  ])("%s of a PNG is refused", async (_, file) => {
    expect(await failure(read(file))).toMatch(/1\.png cannot be decoded, it is damaged or truncated/);
  });

  test("JPEG: bytes before a marker and after the end are passed over", async () => {
    const image = await plainJpeg([50, 100, 200]);
    const { pixels: expected, notes: none } = await read(image);
    expect(none).toEqual([]);
    const at = image.indexOf(Buffer.of(0xff, 0xdb));
    const odd = Buffer.concat([image.subarray(0, at), Buffer.from("odd"), image.subarray(at), Buffer.from("after")]);
    expect(await read(odd)).toEqual({ pixels: expected, notes: ODD });
    const segment = (marker: number, content: string): Buffer =>
      Buffer.concat([Buffer.of(0xff, marker, 0, content.length + 2), Buffer.from(content, "latin1")]);
    for (const extra of [
      segment(0xee, "Adobe\0"),
      segment(0xee, "Adobe\0d\0\0\0\0\x09"),
      segment(0xe1, "Exif\0\0??"),
    ]) {
      const file = Buffer.concat([image.subarray(0, 2), extra, image.subarray(2)]);
      expect((await read(file)).pixels).toEqual(expected);
    }
    expect(await failure(read(image.subarray(0, -20)))).toMatch(/cannot be decoded/);
  });

  test("JPEG: damage in the pixels is refused, odd bytes before it or not", async () => {
    const noise = Buffer.from(pattern(64 * 64 * 3));
    const image = await sharp(noise, { raw: { width: 64, height: 64, channels: 3 } })
      .jpeg()
      .toBuffer();
    const middle = image.length >> 1;
    const damaged = Buffer.concat([image.subarray(0, middle), Buffer.of(0xff, 0xd9), image.subarray(middle + 2)]);
    expect(await failure(read(damaged))).toMatch(/cannot be decoded/);
    const at = image.indexOf(Buffer.of(0xff, 0xdb));
    const both = Buffer.concat([damaged.subarray(0, at), Buffer.from("odd"), damaged.subarray(at)]);
    expect(await failure(read(both))).toMatch(/cannot be decoded/);
  });
});

describe("EXIF's orientation", () => {
  // The letter F, and what a viewer shows of it by each number: the table of the EXIF standard.
  const letter = ["XXX", "X..", "XX.", "X..", "X.."];
  const seen: readonly (readonly string[])[] = [
    letter,
    ["XXX", "..X", ".XX", "..X", "..X"],
    ["..X", "..X", ".XX", "..X", "XXX"],
    ["X..", "X..", "XX.", "X..", "XXX"],
    ["XXXXX", "X.X..", "X...."],
    ["XXXXX", "..X.X", "....X"],
    ["....X", "..X.X", "XXXXX"],
    ["X....", "X.X..", "XXXXX"],
  ];
  const bytesOf = (rows: readonly string[]): number[] => [...rows.join("")].map((mark) => (mark === "X" ? 200 : 10));

  /** EXIF data that hold an orientation and nothing else. */
  const exif = (orientation: number): Buffer =>
    Buffer.from(`4d4d002a0000000800010112000300000001000${orientation}000000000000`, "hex");

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    "%i is applied to PNG, wherever it stands in the file, and to JPEG",
    async (orientation) => {
      const file = png(bytesOf(letter), 3, 5, 1);
      const rows = seen[orientation - 1] as readonly string[];
      const chunks = Array.from(pngChunks(file), ({ type, data }) => [type, encodeChunk(type, data)] as const);
      for (const before of ["IDAT", "IEND"]) {
        const parts = chunks.flatMap(([type, chunk]) =>
          type === before ? [encodeChunk("eXIf", exif(orientation)), chunk] : [chunk],
        );
        const notes: string[] = [];
        const bank = await openDataset(makeFolder({ "1.png": Buffer.concat([file.subarray(0, 8), ...parts]) }), {
          onNote: (line) => notes.push(line),
        });
        expect(bank.shape).toEqual({ channels: 1, height: rows.length, width: rows[0]?.length });
        expect(pixelsOf(bank, 0)).toEqual(bytesOf(rows));
        expect(notes).toEqual(
          orientation === 1 ? [] : ["1 of 1 images were turned or mirrored by their EXIF orientation: 1.png"],
        );
      }
      const large = Buffer.from(
        letter.flatMap((row) =>
          Array.from({ length: 16 }, () =>
            [...row].flatMap((mark) => Array.from({ length: 16 }, () => (mark === "X" ? 200 : 10))),
          ).flat(),
        ),
      );
      const photo = sharp(large, { raw: { width: 48, height: 80, channels: 1 } }).toColourspace("b-w");
      const bank = await open({ "1.jpg": await photo.withMetadata({ orientation }).jpeg({ quality: 95 }).toBuffer() });
      const [columns, pixels] = [16 * (rows[0] as string).length, pixelsOf(bank, 0)];
      expect(bank.shape.width).toBe(columns);
      const middles = rows.flatMap((row, y) =>
        Array.from(row, (_, x) => pixels[(16 * y + 8) * columns + 16 * x + 8] as number),
      );
      middles.forEach((value, i) => void expect(Math.abs(value - (bytesOf(rows)[i] as number))).toBeLessThan(8));
    },
  );

  test("images turned upright have one size", async () => {
    const upright = png(bytesOf(letter), 3, 5, 1);
    const onItsSide = png(bytesOf(seen[7] as readonly string[]), 5, 3, 1);
    const parts = Array.from(pngChunks(onItsSide), ({ type, data }) => encodeChunk(type, data));
    parts.splice(1, 0, encodeChunk("eXIf", exif(6)));
    const bank = await open({ "1.png": upright, "2.png": Buffer.concat([onItsSide.subarray(0, 8), ...parts]) });
    expect(pixelsOf(bank, 1)).toEqual(bytesOf(letter));
  });
});

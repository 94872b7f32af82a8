/** The decoders of plain images against the pixels that PIL reads (fixtures/pil-images.py), and what they leave to others. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { encode } from "fast-png";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { Dice, damaged } from "../../../test/mutations.js";
import { decodeImage, imageFile } from "../src/codecs/decode.js";
import { openBatchDecoder } from "../src/codecs/decoding-threads.js";
import { encodeChunk, SIGNATURE_BYTES } from "../src/codecs/png-chunks.js";
import { QuickDecoder } from "../src/codecs/quick-decode.js";
import { openDataset } from "../src/data/open.js";
import {
  failure,
  firstValues,
  makeFolder,
  makeZip,
  pattern,
  pixelsOf,
  plainJpeg,
  plainPng,
  png,
} from "./data-sources-support.js";

interface Fixture {
  /** In base64. */
  readonly file: string;
  readonly channels: number;
  /** SHA-256 of the pixels in the order C, H, W. */
  readonly planes: string;
}

const content = JSON.parse(readFileSync(new URL("fixtures/pil-images.json", import.meta.url), "utf8")) as Record<
  string,
  Fixture
>;
const fixtures = Object.entries(content).map(([name, fixture]) => ({
  ...fixture,
  name,
  file: Buffer.from(fixture.file, "base64"),
}));
const fileOf = (name: string): Buffer => fixtures.find((fixture) => fixture.name === name)?.file as Buffer;

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const quick = await QuickDecoder.load();

describe("pixels are PIL's", () => {
  test.each(fixtures)("$name", async ({ name, file, channels, planes }) => {
    const image = quick.decode(file);
    expect(image === undefined).toBe(name === "JPEG progressive");
    if (image) expect([image.channels, digestOf(image.bytes)]).toEqual([channels, planes]);
    const bank = await openDataset(makeFolder({ "1.png": file }));
    expect([bank.shape.channels, digestOf(Uint8Array.from(pixelsOf(bank, 0)))]).toEqual([channels, planes]);
  });
});

/** A PNG with a chunk after its header. */
function withChunk(file: Uint8Array, chunk: Uint8Array): Buffer {
  const end = SIGNATURE_BYTES + 25;
  return Buffer.concat([file.subarray(0, end), chunk, file.subarray(end)]);
}

/** The file with another byte at a position, counted from the end if negative. */
function changed(file: Uint8Array, position: number): Buffer {
  const bytes = Buffer.from(file);
  const at = position < 0 ? bytes.length + position : position;
  bytes[at] = (bytes[at] as number) ^ 1;
  return bytes;
}

describe("other decoders get", () => {
  const values = Buffer.from(pattern(7 * 5 * 3));
  const raw = { raw: { width: 7, height: 5, channels: 3 as const } };
  const rgb = png([...values], 7, 5, 3);
  const jpeg = fileOf("JPEG 4:2:0, quality 75");

  test.each<[string, () => Uint8Array | Promise<Uint8Array>]>([
    ["a palette", () => sharp(values, raw).png({ palette: true }).toBuffer()],
    ["an interlaced image", () => sharp(values, raw).png({ progressive: true }).toBuffer()],
    ["16 bits", () => encode({ width: 2, height: 1, channels: 3, depth: 16, data: new Uint16Array(6) })],
    ["a transparent colour", () => withChunk(rgb, encodeChunk("tRNS", new Uint8Array(6)))],
    [
      "an orientation in a PNG",
      () =>
        sharp(values, raw)
          .withExif({ IFD0: { Artist: "me" } })
          .png()
          .toBuffer(),
    ],
    [
      "an orientation in a JPEG",
      () =>
        sharp(values, raw)
          .withExif({ IFD0: { Artist: "me" } })
          .jpeg()
          .toBuffer(),
    ],
    ["a text with a wrong checksum", () => withChunk(rgb, changed(encodeChunk("tEXt", Buffer.from("a\0b")), -1))],
    ["a text without a name", () => withChunk(rgb, encodeChunk("tEXt", Buffer.from("\0b")))],
    ["an unknown chunk", () => withChunk(rgb, encodeChunk("abCd", Buffer.from("b")))],
    ["pixels with a wrong checksum", () => changed(rgb, -13)],
    ["a truncated PNG", () => rgb.subarray(0, -13)],
    ["a PNG with bytes after its end", () => Buffer.concat([rgb, Buffer.of(0)])],
    ["four inks", () => sharp(values, raw).toColourspace("cmyk").jpeg().toBuffer()],
    ["a JPEG of several scans", () => fileOf("JPEG progressive")],
    ["a JPEG with bytes after its end", () => Buffer.concat([jpeg, Buffer.of(0)])],
    ["a JPEG without its end", () => jpeg.subarray(0, -2)],
    ["a JPEG cut in its data", () => Buffer.concat([jpeg.subarray(0, -60), Buffer.of(0xff, 0xd9)])],
    ["bytes before a marker", () => Buffer.concat([jpeg.subarray(0, 2), Buffer.of(1, 2, 3), jpeg.subarray(2)])],
    ["a text", () => Buffer.from("not an image")],
  ])("%s", async (_, make) => {
    expect(quick.decode(await make())).toBeUndefined();
  });

  test("everything damaged that they would complain about", async () => {
    const dice = new Dice(7);
    let accepted = 0;
    for (let i = 0; i < 500; i++) {
      const { file } = fixtures[dice.below(fixtures.length)] as (typeof fixtures)[number];
      const bytes = damaged(file, dice);
      if (!quick.decode(bytes)) continue;
      accepted++;
      expect((await decodeImage(await imageFile("a", bytes))).isOdd, `case ${i}`).toBe(false);
    }
    expect(accepted).toBeGreaterThan(5);
  });
});

describe("threads", () => {
  test("decode as one does, in the order of the files, whichever thread is asked", async () => {
    const files = fixtures.map(({ file }) => file);
    const [alone, several] = await Promise.all([openBatchDecoder(0), openBatchDecoder(2)]);
    const expected = await alone.decode(files);
    const batches = Array.from({ length: 9 }, (_, i) => several.decode(files.slice(i)));
    for (const [i, batch] of (await Promise.all(batches)).entries()) {
      expect(batch.map((image) => image && digestOf(image.bytes))).toEqual(
        expected.slice(i).map((image) => image && digestOf(image.bytes)),
      );
    }
    expect(await several.decode([])).toEqual([]);
    await several.close();
    // A thread that has died leaves everything to others.
    expect(await several.decode(files.slice(0, 2))).toEqual([undefined, undefined]);
  });

  test("a large set, with odd and damaged images among the others", async () => {
    const jpeg = await plainJpeg([10, 200, 30], 4, 4);
    const [greys, reds] = [0, 1].map((colour) =>
      Array.from({ length: 256 }, (_, value) => plainPng(colour ? [value, 0, 0] : [value])),
    ) as [Uint8Array[], Uint8Array[]];
    const files = Object.fromEntries(
      Array.from({ length: 2100 }, (_, i) => [
        `${10_000 + i}.png`,
        i === 1234 ? Buffer.concat([jpeg, Buffer.of(0)]) : ((i < 700 ? greys : reds)[i % 256] as Uint8Array),
      ]),
    );
    const notes: string[] = [];
    const bank = await openDataset(await makeZip(files, { compress: false }), { onNote: (line) => notes.push(line) });
    expect(notes).toEqual([expect.stringMatching(/^1 of 2100 images have intact pixels, .*: 11234\.png$/)]);
    const expected = Array.from({ length: 2100 }, (_, i) => (i === 1234 ? pixelsOf(bank, 1234)[0] : i % 256));
    expect(firstValues(bank)).toEqual(expected);
    expect(pixelsOf(bank, 99)).toEqual(Array.from({ length: 48 }, () => 99));
    const message = await failure(
      openDataset(await makeZip({ ...files, "11000.png": jpeg.subarray(0, -30) }, { compress: false })),
    );
    expect(message).toMatch(/^11000\.png in photos\.zip cannot be decoded, it is damaged or truncated/);
  });
});

/** Masks as people make them: light, dark, transparent, in any of the forms that PNG and JPEG have. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { full, scope } from "@stf/torch";
import { encode } from "fast-png";
import sharp from "sharp";
import { afterAll, beforeAll, expect, test } from "vitest";
import { InputError } from "../src/common/errors.js";
import { resolve } from "../src/config/fields.js";
import { generateFields } from "../src/config/generate-options.js";
import { type GivenImage, givenImage } from "../src/jobs/given-image.js";

let folder = "";
const at = (name: string): string => join(folder, name);
const shape = { channels: 3, height: 2, width: 4 };

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-mask-"));
  writeFileSync(at("image.png"), encode({ width: 4, height: 2, channels: 3, depth: 8, data: new Uint8Array(24) }));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const given = (mask: string): Promise<GivenImage> => {
  const request = { image: at("image.png"), mask: at(mask) };
  return givenImage(resolve(generateFields, request), shape, "cpu");
};

/** 1 where a pixel is kept, row by row. */
async function kept(mask: string): Promise<string> {
  const { known } = await given(mask);
  return scope(() => {
    const projected = known!.project(full([1, 1, 2, 4], 1, { dtype: "float64" }));
    return projected.toFloat64Array().join("");
  });
}

/** A PNG of eight pixels. */
function png(name: string, channels: 1 | 2 | 3 | 4, pixels: readonly number[], depth: 8 | 16 = 8): string {
  const data = depth === 8 ? Uint8Array.from(pixels) : Uint16Array.from(pixels);
  writeFileSync(at(name), encode({ width: 4, height: 2, channels, depth, data }));
  return name;
}

const four = [1, 2, 3, 4];

test.each<[string, () => string | Promise<string>, string]>([
  ["grey, from one half on", () => png("l.png", 1, [0, 64, 127, 128, 192, 255, 0, 255]), "00011101"],
  ["16 bits", () => png("l16.png", 1, [0, 255, 0x7eff, 0x8100, 0xffff, 0xff00, 1, 0xc000], 16), "00011101"],
  [
    "colours on average",
    () =>
      png(
        "rgb.png",
        3,
        [...four, ...four].flatMap((i) => [255, i > 1 ? 255 : 0, i > 2 ? 255 : 0]),
      ),
    "01110111",
  ],
  [
    "white that is transparent",
    () =>
      png(
        "la.png",
        2,
        [0, 64, 127, 128, 192, 255, 255, 255].flatMap((alpha) => [255, alpha]),
      ),
    "00011111",
  ],
  [
    "colours with opacity",
    () =>
      png(
        "rgba.png",
        4,
        [...four, ...four].flatMap((i) => [255, 255, i > 2 ? 0 : 255, i % 2 ? 255 : 0]),
      ),
    "10101010",
  ],
  [
    "grey times opacity",
    () => png("half.png", 2, [180, 180, 180, 181, 255, 128, 128, 255, 200, 255, 255, 200, 100, 100, 0, 0]),
    "01111100",
  ],
  [
    "a palette with a transparent colour",
    async () => {
      const data = Buffer.from([...four, ...four].flatMap((i) => [255, 255, 255, i === 1 ? 0 : 255]));
      await sharp(data, { raw: { width: 4, height: 2, channels: 4 } })
        .png({ palette: true })
        .toFile(at("palette.png"));
      return "palette.png";
    },
    "01110111",
  ],
  [
    "JPEG",
    async () => {
      const data = Buffer.from([0, 0, 255, 255, 0, 0, 255, 255]);
      await sharp(data, { raw: { width: 4, height: 2, channels: 1 } })
        .jpeg({ quality: 100 })
        .toFile(at("mask.jpg"));
      return "mask.jpg";
    },
    "00110011",
  ],
])("%s", async (_, make, wanted) => {
  expect(await kept(await make())).toBe(wanted);
});

test("one value of a PNG that stands for transparent pixels", async () => {
  // Signature and header, then the chunk that names the value, before what follows. Its checksum is that of its bytes.
  const plain = Buffer.from(
    encode({ width: 4, height: 2, channels: 1, depth: 8, data: Uint8Array.from([255, 200, 255, 200, 0, 0, 200, 200]) }),
  );
  const chunk = Buffer.from("0000000274524e5300ff91c2e42f", "hex");
  const { crc32 } = await import("../src/codecs/crc32.js");
  chunk.writeUInt32BE(crc32(chunk.subarray(4, 10)), 10);
  writeFileSync(at("trns.png"), Buffer.concat([plain.subarray(0, 33), chunk, plain.subarray(33)]));
  expect(await kept("trns.png")).toBe("01010011");
});

test("a mask that keeps everything, or nothing, is noted; one that keeps a part is not", async () => {
  const all = await given(png("white.png", 1, new Array(8).fill(255)));
  expect(all.notes).toEqual([expect.stringMatching(/'mask' keeps every pixel.*black or transparent/)]);
  const none = await given(png("clear.png", 2, new Array(16).fill(0)));
  expect(none.notes).toEqual([expect.stringMatching(/'mask' keeps no pixel.*white/)]);
  expect((await given(png("part.png", 1, [255, 0, 0, 0, 0, 0, 0, 0]))).notes).toEqual([]);
});

test("a mask of another size, and one that is not there", async () => {
  writeFileSync(at("wide.png"), encode({ width: 5, height: 2, channels: 1, depth: 8, data: new Uint8Array(10) }));
  await expect(given("wide.png")).rejects.toThrow(/must have the size of the network's images, 4x2, found 5x2/);
  await expect(given("nowhere.png")).rejects.toThrow(InputError);
});

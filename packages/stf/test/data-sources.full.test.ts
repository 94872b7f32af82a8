/** Data sets with random damage: read, or refused by one line that a person can act on. */

import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { crc32, deflateSync, gzipSync } from "node:zlib";
import { memory } from "@stf/torch";
import sharp from "sharp";
import { expect, test } from "vitest";
import { Dice, damaged } from "../../../test/mutations.js";
import { InputError } from "../src/common/errors.js";
import { openDataset } from "../src/data/open.js";
import {
  cifarPickle,
  makeFolder,
  makeZip,
  newPath,
  pattern,
  plainJpeg,
  plainPng,
  png,
  tarFile,
} from "./data-sources-support.js";
import { idxBytes } from "./support.js";

/** No damaged file of a few kilobytes takes this long, unless its reader hangs. */
const SLOWEST_MS = 20_000;

type Damage = (dice: Dice) => Uint8Array;

/**
 * Opens `data` again and again, with `file`, part of it or all of it, replaced by damaged bytes. It is read, or refused
 * with an InputError of one line, and leaves no tensor behind.
 */
async function survive(data: string, file: string, damage: Damage, cases: number, seed: number): Promise<void> {
  const dice = new Dice(seed);
  const before = memory().tensors;
  let refused = 0;
  for (let i = 0; i < cases; i++) {
    // Not as an argument: a case that crashes or hangs stays on the disk.
    writeFileSync(file, damage(dice));
    const begin = performance.now();
    try {
      (await openDataset(data)).dispose();
    } catch (error) {
      if (!(error instanceof InputError)) throw new Error(`case ${i} of seed ${seed}`, { cause: error });
      if (error.message.includes("\n")) throw new Error(`case ${i} of seed ${seed}: two lines`, { cause: error });
      refused++;
    }
    if (performance.now() - begin > SLOWEST_MS) expect.fail(`case ${i} of seed ${seed} took too long`);
    if (memory().tensors !== before) expect.fail(`case ${i} of seed ${seed} left tensors behind`);
  }
  expect(refused).toBeGreaterThan(cases / 10);
}

const checksum = (bytes: Uint8Array): Buffer => {
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32(bytes));
  return sum;
};

/** The chunks of a PNG, name and data. */
function pngChunks(file: Uint8Array): Buffer[] {
  const chunks: Buffer[] = [];
  const bytes = Buffer.from(file);
  for (let at = 8; at < bytes.length; at += 12 + bytes.readUInt32BE(at)) {
    chunks.push(bytes.subarray(at + 4, at + 8 + bytes.readUInt32BE(at)));
  }
  return chunks;
}

/** A PNG of chunks, with the right lengths and checksums. */
function pngOf(chunks: readonly Uint8Array[]): Buffer {
  const parts = chunks.flatMap((chunk) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(Math.max(0, chunk.length - 4));
    return [length, chunk, checksum(chunk)];
  });
  return Buffer.concat([Buffer.from("\x89PNG\r\n\x1a\n", "latin1"), ...parts]);
}

/** Damage that a checksum does not tell: to the header's values, or to the unpacked pixels with their filters. */
function damagedChunks(valid: Uint8Array, dice: Dice): Uint8Array {
  const chunks = pngChunks(valid);
  const at = dice.below(chunks.length);
  const chunk = chunks[at]!;
  const pixels = chunk.toString("latin1", 0, 4) === "IDAT";
  const content = pixels ? deflateSync(dice.bytes(dice.below(200))) : damaged(chunk.subarray(4), dice);
  return pngOf(chunks.with(at, Buffer.concat([chunk.subarray(0, 4), content])));
}

const [width, height] = [7, 5];
const values = pattern(width * height * 3);
const raw = { raw: { width, height, channels: 3 as const } };
const colour = png(values, width, height, 3);

const images: [name: string, make: () => Promise<Uint8Array>, cases: number][] = [
  ["an RGB image", async () => colour, 1500],
  ["a grey image", async () => png(values.slice(0, width * height), width, height, 1), 1500],
  ["an interlaced image", () => sharp(Buffer.from(values), raw).png({ progressive: true }).toBuffer(), 500],
  ["a palette image", () => sharp(Buffer.from(values), raw).png({ palette: true, colours: 16 }).toBuffer(), 500],
];

test.each(images)("PNG: damage to the file of %s", async (_, make, cases) => {
  const valid = await make();
  const folder = makeFolder({ "1.png": colour });
  await survive(folder, `${folder}/1.png`, (dice) => damaged(valid, dice), cases, 1);
});

test.each(images)("PNG: damage to %s inside its checksums", async (_, make, cases) => {
  const valid = await make();
  const folder = makeFolder({ "1.png": colour });
  await survive(folder, `${folder}/1.png`, (dice) => damagedChunks(valid, dice), cases, 2);
});

test.each([{ progressive: false }, { progressive: true }])("JPEG, %o", async (options) => {
  const valid = await sharp(await plainJpeg([200, 100, 50], 40, 24))
    .jpeg(options)
    .toBuffer();
  const folder = makeFolder({ "1.jpg": valid });
  await survive(folder, `${folder}/1.jpg`, (dice) => damaged(valid, dice), 1000, 3);
});

test("dataset.json", async () => {
  const json = Buffer.from(
    JSON.stringify({
      labels: [
        ["a/1.png", 3],
        ["b/2.png", 0],
      ],
    }),
  );
  const folder = makeFolder({ "a/1.png": plainPng([1]), "b/2.png": plainPng([2]), "dataset.json": json });
  await survive(folder, `${folder}/dataset.json`, (dice) => damaged(json, dice), 1500, 4);
});

test.each([
  ["stored", { compress: false }],
  ["deflated", { compress: true }],
  ["zip64", { zip64: true }],
])("zip, %s", async (_, options) => {
  const files = { "a/1.png": plainPng([1]), "b/2.png": plainPng([2]), "dataset.json": '{"labels": null}' };
  const path = await makeZip(files, options);
  const valid = readFileSync(path);
  await survive(path, path, (dice) => damaged(valid, dice), 2000, 5);
});

const CLASSES = [1, 0];
const pixels = Uint8Array.from(pattern(CLASSES.length * 3072));
const pickle = cifarPickle(CLASSES, pixels);
const batchFiles = (batch: (number: number) => Uint8Array): Record<string, Uint8Array> =>
  Object.fromEntries([1, 2, 3, 4, 5].map((number) => [`cifar-10-batches-py/data_batch_${number}`, batch(number)]));

/** The opcodes of a pickle matter more than the bytes of its pixels. */
function damagedPickle(dice: Dice): Uint8Array {
  const data = pickle.indexOf(Buffer.from(pixels.subarray(0, 16)));
  const [head, tail] = [pickle.subarray(0, data), pickle.subarray(data)];
  const end = tail.subarray(pixels.length);
  if (dice.once(3)) return Buffer.concat([head, pixels, damaged(end, dice)]);
  return Buffer.concat([damaged(head, dice), pixels, dice.once(2) ? end : damaged(end, dice)]);
}

test.each<[string, number, Damage]>([
  ["the pickle", 3000, (dice) => gzipSync(tarFile(batchFiles((n) => (n === 1 ? damagedPickle(dice) : pickle))))],
  ["the archive", 1500, (dice) => gzipSync(damaged(tarFile(batchFiles(() => pickle)), dice))],
  ["a header of the archive", 1500, (dice) => gzipSync(damagedTarHeader(tarFile(batchFiles(() => pickle)), dice))],
  ["the compressed file", 1500, (dice) => damaged(compressed, dice)],
])("CIFAR-10: damage to %s", async (_, cases, damage) => {
  const path = newPath("cifar-10-python.tar.gz");
  await survive(path, path, damage, cases, 6);
});

const compressed = gzipSync(tarFile(batchFiles(() => pickle)));

/** Damage to one header, whose checksum is put right. */
function damagedTarHeader(archive: Uint8Array, dice: Dice): Uint8Array {
  const header = Buffer.alloc(512);
  header.set(damaged(archive.subarray(0, 512), dice).subarray(0, 512));
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return Buffer.concat([header, archive.subarray(512)]);
}

const idx = idxBytes([6, 4, 4], pattern(6 * 16));
const labels = idxBytes([6], [0, 1, 2, 3, 4, 5]);

test.each<[string, string, Damage]>([
  ["the images", "x-images-idx3-ubyte", (dice) => damaged(idx, dice)],
  [
    "the images' header",
    "x-images-idx3-ubyte",
    (dice) => Buffer.concat([damaged(idx.subarray(0, 16), dice), idx.subarray(16)]),
  ],
  ["the labels", "x-labels-idx1-ubyte", (dice) => damaged(labels, dice)],
  ["the zipped images", "x-images-idx3-ubyte.gz", (dice) => damaged(gzipSync(idx), dice)],
])("idx: damage to %s", async (_, name, damage) => {
  const folder = makeFolder({ "x-images-idx3-ubyte": idx, "x-labels-idx1-ubyte": labels });
  const data = name.replace("labels-idx1", "images-idx3");
  await survive(`${folder}/${data}`, `${folder}/${name}`, damage, 1500, 7);
  rmSync(folder, { recursive: true });
});

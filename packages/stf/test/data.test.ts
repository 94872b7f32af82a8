/** Reading idx files, the resident data set, the order of samples, and the pools of references. */

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { InputError } from "../src/common/errors.js";
import { ImageBank, normalize } from "../src/data/image-bank.js";
import { openDataset } from "../src/data/open.js";
import { DataOrder, drawPool } from "../src/data/order.js";
import { KeyedRandom, randomKey } from "../src/random/keyed.js";
import { bankOf, chiSquare, chiSquareBound, idxBytes, maxDeviation, randomBytes, unit } from "./support.js";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "stf-data-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, bytes: Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  return path;
}

/** The failure of `body`: an InputError whose one line names the file. */
async function failure(body: () => unknown, path: string): Promise<string> {
  let caught: unknown;
  try {
    await body();
  } catch (error) {
    caught = error;
  }
  expect(caught).toBeInstanceOf(InputError);
  const { message } = caught as InputError;
  expect(message).not.toContain("\n");
  expect(message).toContain(path);
  return message;
}

describe("idx files", () => {
  const pixels = randomBytes(5 * 3 * 4, 1);
  const images = idxBytes([5, 3, 4], pixels);

  test.each([
    ["plain-images-idx3-ubyte", images],
    ["zipped-images-idx3-ubyte.gz", gzipSync(images)],
  ])("%s", async (name, bytes) => {
    const bank = await openDataset(file(name, bytes));
    expect(bank.count).toBe(5);
    expect(bank.shape).toEqual({ channels: 1, height: 3, width: 4 });
    expect(bank.dimension).toBe(12);
    expect(bank.pixels.shape).toEqual([5, 12]);
    expect(bank.pixels.toTypedArray()).toEqual(pixels);
    expect(bank.labels).toBeUndefined();
    expect(name).toContain(bank.name);
    bank.dispose();
  });

  test("labels come from the companion file", async () => {
    const path = file("with-images-idx3-ubyte", images);
    file("with-labels-idx1-ubyte", idxBytes([5], [3, 1, 4, 1, 9]));
    const bank = await openDataset(path);
    expect(bank.labels).toEqual(Int32Array.of(3, 1, 4, 1, 9));
    bank.dispose();
  });

  test.each([
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
    ["train-images.idx3-ubyte", "train-labels.idx1-ubyte"],
    ["train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"],
    ["train-images-idx3-ubyte.gz", "train-labels.idx1-ubyte"],
    ["emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz"],
    ["emnist-letters-train-images", "emnist-letters-train-labels"],
    ["digits.idx3", "digits.idx1"],
  ])("%s has its labels in %s", async (name, labels) => {
    const own = mkdtempSync(join(folder, "names-"));
    const write = (file: string, bytes: Uint8Array): void =>
      writeFileSync(join(own, file), file.endsWith(".gz") ? gzipSync(bytes) : bytes);
    write(name, images);
    const without = await openDataset(join(own, name));
    expect(without.labels).toBeUndefined();
    expect(without.unlabelled).toMatch(/has no [a-z-]*(labels|digits)/);
    write("other-labels-idx1-ubyte", idxBytes([5], [9, 9, 9, 9, 9]));
    write(labels, idxBytes([5], [3, 1, 4, 1, 9]));
    for (const path of [join(own, name), ...(/idx3/.test(name) ? [own] : [])]) {
      const bank = await openDataset(path);
      expect(bank.labels).toEqual(Int32Array.of(3, 1, 4, 1, 9));
      expect(bank.pixels.toTypedArray()).toEqual(pixels);
    }
  });

  test("a folder gives the images for training, or the only ones", async () => {
    const own = mkdtempSync(join(folder, "mnist-"));
    const notes: string[] = [];
    const options = { onNote: (line: string) => void notes.push(line) };
    writeFileSync(join(own, "t10k-images-idx3-ubyte"), idxBytes([1, 3, 4], pixels.subarray(0, 12)));
    expect((await openDataset(own, options)).count).toBe(1);
    writeFileSync(join(own, "train-images-idx3-ubyte.gz"), gzipSync(images));
    writeFileSync(join(own, "train-images-idx3-ubyte"), images);
    expect((await openDataset(own, options)).count).toBe(5);
    expect(notes[0]).toBe(`using the images of ${own}/t10k-images-idx3-ubyte`);
    expect(notes[1]).toBe(
      `using the images of ${own}/train-images-idx3-ubyte; for others give ${own}/t10k-images-idx3-ubyte`,
    );
    // Whoever asks for a part wants no others.
    expect((await openDataset(own, { ...options, split: "test" })).count).toBe(1);
    expect(notes[2]).toBe(`using the images of ${own}/t10k-images-idx3-ubyte`);
    writeFileSync(join(own, "extra-images-idx3-ubyte"), images);
    expect(await failure(() => openDataset(own), own)).toMatch(/several sets of images; give the path of one: .*extra/);
  });

  test("another number of labels than images", async () => {
    const path = file("count-images-idx3-ubyte", images);
    const labels = file("count-labels-idx1-ubyte", idxBytes([4], [0, 1, 2, 3]));
    const message = await failure(() => openDataset(path), labels);
    expect(message).toMatch(/4 labels.*5 images/);
  });

  test("damaged labels name the label file", async () => {
    const path = file("bad-images-idx3-ubyte", images);
    const labels = file("bad-labels-idx1-ubyte", idxBytes([5], [0, 1]));
    await failure(() => openDataset(path), labels);
  });

  test.each<[string, string, Uint8Array, RegExp]>([
    ["a truncated archive", "a-images-idx3-ubyte.gz", gzipSync(images).subarray(0, 40), /truncated/],
    ["a damaged archive", "b-images-idx3-ubyte.gz", gzipSync(images).fill(7, 12, 30), /damaged/],
    ["a truncated body", "c-images-idx3-ubyte", images.subarray(0, images.length - 1), /60 bytes.*found 59/],
    ["too long a body", "d-images-idx3-ubyte", Uint8Array.of(...images, 0), /60 bytes.*found 61/],
    ["a truncated header", "e-images-idx3-ubyte", images.subarray(0, 9), /idx/],
    ["an empty file", "f-images-idx3-ubyte", new Uint8Array(), /idx/],
    ["a wrong magic number", "g-images-idx3-ubyte", Uint8Array.of(1, ...images.subarray(1)), /idx/],
    ["another element type", "h-images-idx3-ubyte", Uint8Array.of(0, 0, 0x0d, ...images.subarray(3)), /unsigned bytes/],
    ["labels in place of images", "i-images-idx3-ubyte", idxBytes([5], [0, 1, 2, 3, 4]), /3 axes/],
    ["no images", "j-images-idx3-ubyte", idxBytes([0, 3, 4], []), /no images/],
    ["images without pixels", "k-images-idx3-ubyte", idxBytes([5, 0, 4], []), /./],
  ])("%s", async (_, name, bytes, says) => {
    const path = file(name, bytes);
    expect(await failure(() => openDataset(path), path)).toMatch(says);
  });

  test("openDataset tells files by content, and says what is missing or unknown", async () => {
    const bank = await openDataset(file("pictures.data", images));
    expect(bank.count).toBe(5);
    bank.dispose();
    const missing = join(folder, "none-images-idx3-ubyte.gz");
    expect(await failure(() => openDataset(missing), missing)).toMatch(/no data set/);
    const unknown = file("pictures.txt", Buffer.from("pictures"));
    await failure(() => openDataset(unknown), unknown);
  });
});

describe("the resident data set", () => {
  const shape = { channels: 3, height: 32, width: 32 };
  const size = 3072;
  const rows = [
    randomBytes(size, 5),
    new Uint8Array(size),
    new Uint8Array(size).fill(255),
    new Uint8Array(size).fill(128),
    randomBytes(size, 6),
  ];
  const bank = bankOf(rows, shape);
  afterAll(() => bank.dispose());

  test("images by index, in the order asked for, as often as asked for", () => {
    const wanted = [4, 0, 2, 0, 4];
    using gathered = bank.gather(Int32Array.from(wanted));
    expect(gathered.dtype).toBe("uint8");
    expect(gathered.shape).toEqual([5, size]);
    expect(Buffer.from(gathered.toTypedArray() as Uint8Array)).toEqual(
      Buffer.concat(wanted.map((index) => rows[index]!)),
    );
    expect(() => bank.gather(Int32Array.of(5))).toThrow(/index/);
  });

  test("bytes become numbers from -1 to 1", () => {
    using pixels = tensor(Uint8Array.from({ length: 256 }, (_, byte) => byte));
    using found = normalize(pixels);
    const numbers = found.toFloat64Array();
    expect(numbers[0]).toBe(-1);
    expect(numbers[255]).toBe(1);
    expect(
      maxDeviation(
        numbers,
        Array.from({ length: 256 }, (_, byte) => unit(byte)),
      ),
    ).toBeLessThan(1e-7);
    // A float32 input is read, not written.
    using floats = pixels.float();
    using again = normalize(floats);
    expect(again.toFloat64Array()).toEqual(numbers);
    expect(floats.toFloat64Array()[255]).toBe(255);
  });

  test("bytes that do not fill whole images are refused", () => {
    expect(() => ImageBank.fromBytes("test", shape, new Uint8Array(size + 1))).toThrow();
    expect(() => new ImageBank("test", shape, tensor(new Uint8Array(10), { shape: [2, 5] }))).toThrow(/3072/);
  });
});

describe("the order of samples", () => {
  const count = 37;

  test("every epoch holds every image once", () => {
    const order = new DataOrder(count, 1);
    const epochs = [0, 1, 2].map((epoch) => Array.from(order.range(epoch * count, count)));
    for (const epoch of epochs) {
      expect([...epoch].sort((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, i) => i));
    }
    expect(epochs[0]).not.toEqual(epochs[1]);
    expect(epochs[1]).not.toEqual(epochs[2]);
  });

  test("batches and resumption do not change it", () => {
    const whole = Array.from(new DataOrder(count, 1).range(0, 200));
    for (const batch of [1, 8, 50]) {
      const order = new DataOrder(count, 1);
      const parts = Array.from({ length: 200 / batch }, (_, i) => Array.from(order.range(i * batch, batch)));
      expect(parts.flat()).toEqual(whole);
    }
    const jumping = new DataOrder(count, 1);
    for (const sample of [199, 0, 36, 37, 73, 74, 5, 150]) expect(jumping.at(sample)).toBe(whole[sample]);
    expect(Array.from(new DataOrder(count, 2).range(0, 200))).not.toEqual(whole);
  });

  test("the first image is any of them, over seeds and over epochs", () => {
    const bySeed = new Float64Array(count);
    const byEpoch = new Float64Array(count);
    const order = new DataOrder(count, 3);
    for (let i = 0; i < 4000; i++) {
      bySeed[new DataOrder(count, i).at(0)]! += 1;
      byEpoch[order.at(i * count)]! += 1;
    }
    expect(chiSquare(bySeed)).toBeLessThan(chiSquareBound(count - 1));
    expect(chiSquare(byEpoch)).toBeLessThan(chiSquareBound(count - 1));
  });
});

describe("pools of references", () => {
  const random = (index: number): KeyedRandom => new KeyedRandom(randomKey(12, "references", index));

  test.each([
    { sources: [4, 1, 7], size: 3, count: 20, expected: 3 },
    { sources: [4, 1, 7], size: 1, count: 20, expected: 3 },
    { sources: [4, 1, 7], size: 9, count: 20, expected: 9 },
    { sources: [4, 1, 7], size: 15, count: 20, expected: 15 },
    { sources: [4, 1, 7], size: 20, count: 20, expected: 20 },
    { sources: [4, 1, 7], size: 50, count: 20, expected: 20 },
    { sources: [4, 1, 4], size: 2, count: 20, expected: 2 },
    { sources: [4, 1, 4], size: 3, count: 20, expected: 3 },
    { sources: [0], size: 1, count: 1, expected: 1 },
  ])("$size references for sources $sources of $count images", ({ sources, size, count, expected }) => {
    for (let i = 0; i < 50; i++) {
      const pool = Array.from(drawPool(Int32Array.from(sources), size, count, random(i)));
      expect(pool).toHaveLength(expected);
      expect(new Set(pool).size).toBe(expected);
      expect(pool.every((index) => Number.isInteger(index) && index >= 0 && index < count)).toBe(true);
      const different = [...new Set(sources)];
      expect(pool.slice(0, different.length)).toEqual(different);
    }
  });

  // Up to half of the data is drawn by rejection, more than that from a shuffled list.
  test.each([4, 6])("%i of 8: every set of others is equally likely", (size) => {
    const sets = new Map<string, number>();
    for (let i = 0; i < 15_000; i++) {
      const others = Array.from(drawPool(Int32Array.of(5, 2), size, 8, random(i)).subarray(2));
      const key = others.sort((a, b) => a - b).join();
      sets.set(key, (sets.get(key) ?? 0) + 1);
    }
    // 6 others, of which 2 or 4: 15 sets.
    expect(sets.size).toBe(15);
    expect(chiSquare([...sets.values()])).toBeLessThan(chiSquareBound(14));
  });

  test.each([10, 30])("%i of 40: every other image is equally likely", (size) => {
    const sources = Int32Array.of(5, 2, 39);
    const draws = 4000;
    const counts = new Float64Array(40);
    for (let i = 0; i < draws; i++) for (const index of drawPool(sources, size, 40, random(i))) counts[index]! += 1;
    const others = Array.from(counts).filter((_, index) => !sources.includes(index));
    for (const index of sources) expect(counts[index]).toBe(draws);
    // Draws without replacement spread less than independent ones, by 1 - p, and the counts sum to a constant.
    const m = others.length;
    const p = (size - sources.length) / m;
    expect((chiSquare(others) / (1 - p)) * ((m - 1) / m)).toBeLessThan(chiSquareBound(m - 1));
  });

  test("the same key draws the same pool, another one another", () => {
    const pools = [1, 1, 2].map((i) => Array.from(drawPool(Int32Array.of(0, 1), 10, 100, random(i))));
    expect(pools[0]).toEqual(pools[1]);
    expect(pools[0]).not.toEqual(pools[2]);
  });
});

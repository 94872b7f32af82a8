/** CIFAR-10 in its python and binary versions, and data sets with their mirror images. */

import { readFileSync, truncateSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { Generator, randn, scope } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { type ImageBank, normalize } from "../src/data/image-bank.js";
import { classCount } from "../src/data/labels.js";
import { withMirrorImages } from "../src/data/mirror.js";
import { openDataset } from "../src/data/open.js";
import { stableFieldTarget } from "../src/targets/stable-field.js";
import {
  cifarPickle,
  type Files,
  failure,
  makeFile,
  makeFolder,
  makeZip,
  pattern,
  pixelsOf,
  png,
  tarFile,
  tarGz,
} from "./data-sources-support.js";

const IMAGE = 3072;
const ROWS = 3;
const classesOf = (batch: number): number[] => [batch, 9 - batch, 0];
const pixelsIn = (batch: number): Uint8Array => Uint8Array.from(pattern(ROWS * IMAGE, { seed: batch }));

function transposed(bytes: Uint8Array, rows: number, columns: number): Uint8Array {
  return Uint8Array.from(bytes, (_, i) => bytes[(i % rows) * columns + Math.floor(i / rows)] as number);
}

function binaryBatch(labels: readonly number[], data: Uint8Array): Buffer {
  return Buffer.concat(labels.flatMap((label, i) => [Buffer.of(label), data.subarray(i * IMAGE, (i + 1) * IMAGE)]));
}

/** The archive's files, the batches in the order that the published archive has. */
function archiveFiles(make: (batch: number) => Uint8Array, name: (batch: number) => string): Files {
  const batches = [4, 3, 1, 2, 5].map((batch) => [name(batch), make(batch)] as const);
  return Object.fromEntries([["readme.html", "text"], ["test_batch", "skipped"], ...batches]);
}

const pythonName = (batch: number): string => `cifar-10-batches-py/data_batch_${batch}`;
const pythonFiles = archiveFiles((batch) => cifarPickle(classesOf(batch), pixelsIn(batch)), pythonName);
const binaryFiles = archiveFiles(
  (batch) => binaryBatch(classesOf(batch), pixelsIn(batch)),
  (batch) => `cifar-10-batches-bin/data_batch_${batch}.bin`,
);
const fortranFiles = archiveFiles(
  (batch) => cifarPickle(classesOf(batch), transposed(pixelsIn(batch), ROWS, IMAGE), { fortran: true }),
  pythonName,
);

describe("CIFAR-10", () => {
  test.each([
    ["cifar-10-python.tar.gz", pythonFiles],
    ["cifar-10-binary.tar.gz", binaryFiles],
    ["fortran-order.tar.gz", fortranFiles],
  ])("%s", async (name, files) => {
    const archive = makeFile(name, tarGz(files));
    const bank = await openDataset(archive);
    expect(bank.name).toBe("cifar10");
    expect(bank.shape).toEqual({ channels: 3, height: 32, width: 32 });
    expect(bank.labels).toEqual(Int32Array.from([1, 2, 3, 4, 5].flatMap(classesOf)));
    expect(classCount(bank)).toBe(9);
    for (let i = 0; i < 5 * ROWS; i++) {
      const batch = pixelsIn(1 + Math.floor(i / ROWS));
      expect(pixelsOf(bank, i)).toEqual(Array.from(batch.subarray((i % ROWS) * IMAGE, ((i % ROWS) + 1) * IMAGE)));
    }
    expect((await openDataset(archive, { labels: false })).labels).toBeUndefined();
  });

  /** A batch as Python 3 writes it for Python 2: bytes are a text and a call that encodes it. */
  function python3Batch(batch: number): Buffer {
    const text = (value: string): Buffer => {
      const [bytes, length] = [Buffer.from(value), Buffer.alloc(4)];
      length.writeUInt32LE(bytes.length);
      return Buffer.concat([Buffer.from("X"), length, bytes]);
    };
    const encoded = (value: string): Buffer =>
      Buffer.concat([Buffer.from("c_codecs\nencode\n"), text(value), text("latin1"), Buffer.from("\x86R", "latin1")]);
    const pixels = Buffer.from(pixelsIn(batch)).toString("latin1");
    return Buffer.concat([
      Buffer.from("\x80\x02}(", "latin1"),
      encoded("labels"),
      Buffer.from("]("),
      ...classesOf(batch).map((label) => Buffer.of(0x4b, label)),
      Buffer.from("e"),
      text("data"),
      Buffer.from("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85", "latin1"),
      encoded("b"),
      Buffer.from(`\x87R(K\x01K${String.fromCharCode(ROWS)}M\x00\x0c\x86cnumpy\ndtype\n`, "latin1"),
      text("u1"),
      Buffer.from("K\0K\x01\x87R(K\x03", "latin1"),
      text("|"),
      Buffer.from("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89", "latin1"),
      encoded(pixels),
      Buffer.from("tbu."),
    ]);
  }
  const python3Files = archiveFiles(python3Batch, pythonName);
  const expectImages = (bank: ImageBank): void => {
    expect([bank.name, bank.count]).toEqual(["cifar10", 5 * ROWS]);
    expect(bank.labels).toEqual(Int32Array.from([1, 2, 3, 4, 5].flatMap(classesOf)));
    for (const i of [0, 4, 14]) {
      const batch = pixelsIn(1 + Math.floor(i / ROWS));
      expect(pixelsOf(bank, i)).toEqual(Array.from(batch.subarray((i % ROWS) * IMAGE, ((i % ROWS) + 1) * IMAGE)));
    }
  };

  test.each<[string, Files]>([
    ["by Python 2", pythonFiles],
    ["by Python 3 in protocol 2", python3Files],
    ["in the binary version", binaryFiles],
  ])("written %s, packed again or unpacked, in whatever folder", async (_, files) => {
    const bare = Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path.replace(/^.*\//, ""), bytes]));
    const moved = Object.fromEntries(Object.entries(bare).map(([path, bytes]) => [`./a/b/${path}`, bytes]));
    expectImages(await openDataset(makeFile("c.tar", tarFile(files))));
    expectImages(await openDataset(makeFile("c.tgz", tarGz(moved))));
    expectImages(await openDataset(makeFile("c.tar.gz", tarGz(bare))));
    expectImages(await openDataset(makeFolder(files)));
    expectImages(await openDataset(makeFolder(bare)));
    expectImages(await openDataset(await makeZip(files)));
  });

  test("classes have the names that are in the archive", async () => {
    const names = ["plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
    const meta = Buffer.from(`(dS'label_names'\n(l${names.map((name) => `S'${name}'\na`).join("")}s.`);
    const python = await openDataset(makeFolder({ ...pythonFiles, "cifar-10-batches-py/batches.meta": meta }));
    expect(python.classNames).toEqual(names.slice(0, 9));
    const text = `${names.join("\n")}\n\n`;
    const binary = await openDataset(
      makeFile("c.tar.gz", tarGz({ ...binaryFiles, "cifar-10-batches-bin/batches.meta.txt": text })),
    );
    expect(binary.classNames).toEqual(names.slice(0, 9));
    const damaged = await openDataset(makeFolder({ ...pythonFiles, "cifar-10-batches-py/batches.meta": "" }));
    expect(damaged.classNames).toBeUndefined();
  });

  test("CIFAR-100 has its fine labels", async () => {
    const records = Buffer.concat(
      [7, 99].map((label, i) => Buffer.concat([Buffer.of(i, label), pixelsIn(1).subarray(i * IMAGE, (i + 1) * IMAGE)])),
    );
    const names = Array.from({ length: 100 }, (_, i) => `thing${i}`);
    const files = { "cifar-100-binary/train.bin": records, "cifar-100-binary/fine_label_names.txt": names.join("\n") };
    for (const path of [makeFolder(files), makeFile("c.tar.gz", tarGz(files))]) {
      const bank = await openDataset(path);
      expect([bank.name, bank.labels, bank.classNames?.[99]]).toEqual(["cifar100", Int32Array.of(7, 99), "thing99"]);
      expect(pixelsOf(bank, 1)).toEqual(Array.from(pixelsIn(1).subarray(IMAGE, 2 * IMAGE)));
    }
  });

  test("an archive of another compression is said to be one", async () => {
    const bytes = Buffer.concat([Buffer.of(0xfd), Buffer.from("7zXZ\0data")]);
    expect(await failure(openDataset(makeFile("c.tar.xz", bytes)))).toMatch(/c\.tar\.xz is packed with xz.*unpack it/);
  });

  const withBatch = (batch: Uint8Array): Buffer => tarGz({ ...pythonFiles, [pythonName(2)]: batch });
  const good = cifarPickle(classesOf(2), pixelsIn(2));

  test.each<[string, () => Uint8Array, RegExp]>([
    [
      "an operation of another kind",
      () => Buffer.from("\x80\x02cos\nsystem\n(U\x04echotR.", "latin1"),
      /names "os\.system", which is refused/,
    ],
    [
      "a class made by its constructor",
      () => Buffer.from("(ios\nsystem\n.", "latin1"),
      /names "os\.system", which is refused/,
    ],
    ["a code that no pickle has", () => Buffer.from("\x80\x02\xff\0", "latin1"), /opcode 0xff at byte 2 .* is refused/],
    ["half a pickle", () => good.subarray(0, good.length / 2), /data_batch_2 in .* the pickle ends too early/],
    ["an empty file", () => Buffer.alloc(0), /the pickle ends too early/],
    ["nothing but the end", () => Buffer.from("."), /takes a value where there is none/],
    ["no dictionary", () => Buffer.from("]."), /"data" must be an array of bytes with 3072 columns/],
    [
      "numbers of another type",
      () => cifarPickle([0], new Uint8Array(4 * IMAGE), { type: "f4" }),
      /"data" must be an array of bytes with 3072 columns/,
    ],
    ["too few bytes", () => cifarPickle([0, 1], new Uint8Array(IMAGE)), /3072 bytes cannot have the shape \[2, 3072\]/],
    ["a label too large", () => cifarPickle([10], new Uint8Array(IMAGE)), /labels must be 0 to 9, found 10/],
    ["a negative label", () => cifarPickle([-1], new Uint8Array(IMAGE)), /labels must be 0 to 9, found -1/],
  ])("%s is refused", async (_, batch, message) => {
    expect(await failure(openDataset(makeFile("cifar.tar.gz", withBatch(batch()))))).toMatch(message);
  });

  test("records that are cut are refused", async () => {
    const files = { ...binaryFiles, "cifar-10-batches-bin/data_batch_3.bin": Buffer.alloc(3000) };
    expect(await failure(openDataset(makeFile("c.tar.gz", tarGz(files))))).toMatch(
      /data_batch_3\.bin in .* 3000 bytes are not a whole number of 3073-byte records/,
    );
  });

  test("a missing batch is named", async () => {
    const { [pythonName(4)]: _, ...files } = pythonFiles;
    expect(await failure(openDataset(makeFile("c.tar.gz", tarGz(files))))).toMatch(/found 4 without batch 4/);
    const { [pythonName(1)]: __, ...rest } = files;
    expect(await failure(openDataset(makeFile("c.tar.gz", tarGz(rest))))).toMatch(/found 3 without batch 1/);
    expect(await failure(openDataset(makeFile("c.tar.gz", tarGz({ "a.txt": "" }))))).toMatch(
      /c\.tar\.gz must hold PNG or JPEG images, found none among 1 files/,
    );
  });

  test("a damaged archive is named", async () => {
    const archive = makeFile("cifar-10-python.tar.gz", tarGz(pythonFiles));
    const { length } = readFileSync(archive);
    for (const size of [length - 1, length >> 1, 20, 3]) {
      truncateSync(archive, size);
      expect(await failure(openDataset(archive))).toMatch(
        /python\.tar\.gz is not a gzipped tar archive, or is damaged/,
      );
    }
    const text = makeFile("notes.gz", gzipSync("no archive".repeat(100)));
    expect(await failure(openDataset(text))).toMatch(/notes\.gz is not a gzipped tar archive.* \(Invalid tar header\)/);
  });
});

describe("mirror images", () => {
  const [width, height] = [3, 2];
  const files = Object.fromEntries(
    [1, 2].map((seed) => [`${seed}/1.png`, png(pattern(width * height * 3, { seed }), width, height, 3)]),
  );

  test("item i + N is item i with left and right exchanged", async () => {
    const bank = await openDataset(makeFolder(files));
    const doubled = withMirrorImages(bank);
    expect(doubled.count).toBe(4);
    expect(doubled.shape).toEqual(bank.shape);
    expect(doubled.labels).toEqual(Int32Array.of(0, 1, 0, 1));
    for (const i of [0, 1]) {
      const image = pixelsOf(bank, i);
      expect(pixelsOf(doubled, i)).toEqual(image);
      const mirrored = image.map((_, j) => image[j - (j % width) + width - 1 - (j % width)]);
      expect(pixelsOf(doubled, i + 2)).toEqual(mirrored);
    }
  });

  test("serve as sources and references: each mirror image is the target of its own sample at little noise", async () => {
    const doubled = withMirrorImages(await openDataset(makeFolder(files)));
    const indices = Int32Array.of(3, 0);
    scope(() => {
      const source = normalize(doubled.gather(indices)).view([2, 3, height, width]);
      const noise = randn(source.shape, { generator: new Generator(1) });
      const batch = { indices, source, noise, sigma: Float64Array.of(0.01, 0.01) };
      const target = stableFieldTarget().of(batch, { bank: doubled, pool: "all" });
      expect(target.sub(source).abs().max().item()).toBeLessThan(1e-6);
    });
  });
});

/** Folders and zip archives of images: which files count, their order, their classes, and what is refused. */

import { mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { memory } from "@stf/torch";
import { describe, expect, test } from "vitest";
import { classCount } from "../src/data/labels.js";
import { openDataset } from "../src/data/open.js";
import { inParallel } from "../src/data/parallel.js";
import {
  type Files,
  failure,
  firstValues,
  makeFile,
  makeFolder,
  makeZip,
  newPath,
  plainJpeg,
  plainPng,
  tarFile,
} from "./data-sources-support.js";

const grey = (value: number): Uint8Array => plainPng([value]);

/** One way to hold the same files, each of which must give the same data set. */
const holders: ReadonlyArray<[string, (files: Files) => Promise<string>]> = [
  ["folder", async (files) => makeFolder(files)],
  ["deflated zip", (files) => makeZip(files)],
  ["stored zip", (files) => makeZip(files, { compress: false })],
  ["zip64", (files) => makeZip(files, { zip64: true })],
];

describe.each(holders)("a %s", (_, hold) => {
  test("gives its images in the order of their paths, and passes over other files", async () => {
    const bank = await openDataset(
      await hold({
        "b/2.png": grey(4),
        "a/sub/9.png": grey(2),
        "a-b/1.PNG": grey(1),
        "b/10.png": grey(3),
        "notes.txt": "no image",
        "a/.DS_Store": "hidden",
        "__MACOSX/b/._2.png": "hidden",
      }),
    );
    expect(firstValues(bank)).toEqual([1, 2, 3, 4]);
    expect(bank.name).toBe("photos");
    expect(bank.shape).toEqual({ channels: 1, height: 4, width: 4 });
  });

  test("takes the classes from its top-level folders", async () => {
    const bank = await openDataset(await hold({ "dog/x/1.png": grey(1), "cat/2.png": grey(2), "cat/3.png": grey(3) }));
    expect(firstValues(bank)).toEqual([2, 3, 1]);
    expect(bank.labels).toEqual(Int32Array.of(0, 0, 1));
    expect(classCount(bank)).toBe(2);
  });

  test("takes the classes from dataset.json when it is there", async () => {
    const labels = [
      ["b/img2.png", 7],
      ["a/img1.png", 0],
      ["gone.png", 9],
    ];
    const files = { "a/img1.png": grey(1), "b/img2.png": grey(2), "dataset.json": JSON.stringify({ labels }) };
    const bank = await openDataset(await hold(files));
    expect(bank.labels).toEqual(Int32Array.of(0, 7));
    expect(classCount(bank)).toBe(8);
    expect((await openDataset(await hold(files), { labels: false })).labels).toBeUndefined();
  });

  test.each<[string, Files, RegExp]>([
    ["nothing", {}, /photos\S* must hold PNG or JPEG images, found none among 0 files/],
    ["no image", { "a/readme.txt": "text" }, /found none among 1 files/],
    ["text named .png", { "a/1.png": grey(1), "a/2.png": "hello" }, /a\/2\.png.* is not a PNG or JPEG image/],
    ["an empty file", { "1.png": "" }, /1\.png.* is not a PNG or JPEG image/],
    ["another kind of image", { "1.png": grey(1), "2.webp": "RIFF" }, /must be PNG or JPEG files, found .*2\.webp/],
    [
      "different sizes",
      { "1.png": grey(1), "2.png": grey(1), "3.png": plainPng([1], 5, 4), "4.png": plainPng([1], 6, 4) },
      /1\.png.* has 4x4, .*3\.png.* has 5x4/,
    ],
  ])("with %s is refused", async (_, files, message) => {
    expect(await failure(openDataset(await hold(files)))).toMatch(message);
  });
});

describe("classes", () => {
  const images = { "a/1.png": grey(1), "b/2.png": grey(2) };

  const named = (...names: string[]): Files => Object.fromEntries(names.map((name, i) => [`${name}/1.png`, grey(i)]));

  test("have the names of their folders, in the order of the numbers in them, else of the text", async () => {
    const numbers = await openDataset(makeFolder(named("1", "2", "9", "10", "11")));
    expect(numbers.classNames).toEqual(["1", "2", "9", "10", "11"]);
    expect(firstValues(numbers)).toEqual([0, 3, 4, 1, 2]);
    expect(numbers.labels).toEqual(Int32Array.of(0, 3, 4, 1, 2));
    const mixed = await openDataset(makeFolder(named("b10x", "b9x", "b9w", "a", "B", "b09w")));
    expect(mixed.classNames).toEqual(["B", "a", "b09w", "b9w", "b9x", "b10x"]);
    const text = await openDataset(makeFolder(named("zebra", "Zebra", "ape-2", "ape", "\u00e9")));
    expect(text.classNames).toEqual(["Zebra", "ape", "ape-2", "zebra", "\u00e9"]);
    expect((await openDataset(makeFolder(named("2", "10")), { numbering: "text" })).classNames).toEqual(["10", "2"]);
  });

  test("keep the numbers of a list that has them all", async () => {
    const folder = makeFolder(named("ape", "bee"));
    const given = await openDataset(folder, { numbering: ["bee", "cat", "ape"] });
    expect(given.labels).toEqual(Int32Array.of(2, 0));
    expect(given.classNames).toEqual(["bee", "cat", "ape"]);
    const other = await openDataset(folder, { numbering: ["bee", "cat"] });
    expect(other.classNames).toEqual(["ape", "bee"]);
  });

  test("an image and other files beside the folders are noted", async () => {
    const notes: string[] = [];
    const files = { ...named("a", "b"), "stray.png": grey(9), "readme.txt": "text" };
    const bank = await openDataset(makeFolder(files), { onNote: (line) => notes.push(line) });
    expect(bank.classNames).toEqual([".", "a", "b"]);
    expect(notes).toEqual([
      "1 file that is not an image was skipped: readme.txt",
      'stray.png is outside the class folders: counted as a class named "."; move or remove what is not meant',
    ]);
  });

  test("parts of a data set are no classes", async () => {
    const files = { "train/a/1.png": grey(1), "train/b/1.png": grey(2), "test/a/1.png": grey(3) };
    const folder = makeFolder(files);
    expect(await failure(openDataset(folder))).toMatch(/has test and train, which are parts.*such as .*photos\/train$/);
    const notes: string[] = [];
    const whole = await openDataset(folder, { labels: false, onNote: (line) => notes.push(line) });
    expect([whole.count, notes]).toEqual([
      3,
      ["using the images of test and train together; for one part give its folder"],
    ]);
    const part = await openDataset(join(folder, "train"));
    expect([part.count, part.classNames]).toEqual([2, ["a", "b"]]);
    expect(await failure(openDataset(makeFolder(named("valid", "training-set"))))).toMatch(/parts of a data set/);
  });

  test("are those below one folder that holds all others", async () => {
    const notes: string[] = [];
    const files = { "train/b/1.png": grey(1), "train/a/1.png": grey(2) };
    const bank = await openDataset(makeFolder(files), { onNote: (line) => notes.push(line) });
    expect([bank.classNames, bank.labels]).toEqual([["a", "b"], Int32Array.of(0, 1)]);
    expect(notes).toEqual(["all images are in train/, which is used as the top folder"]);
  });

  test("an archive of a folder is that folder", async () => {
    const labels = [
      ["1.png", 4],
      ["photos/sub/2.png", 5],
    ];
    const files = { "photos/1.png": grey(1), "photos/sub/2.png": grey(2) };
    const wrapped = await makeZip({ ...files, "photos/dataset.json": JSON.stringify({ labels }) });
    expect((await openDataset(wrapped)).labels).toEqual(Int32Array.of(4, 5));
    const twice = await makeZip({ "all/photos/cat/1.png": grey(1), "all/photos/dog/1.png": grey(2) });
    expect((await openDataset(twice)).classNames).toEqual(["cat", "dog"]);
    const single = await openDataset(await makeZip({ "photos/1.png": grey(1), "photos/2.png": grey(2) }));
    expect(single.labels).toBeUndefined();
    expect(single.unlabelled).toMatch(/its images are not in folders.*there is no .*dataset\.json/);
  });

  test("dataset.json below the top is said to lie there", async () => {
    const bank = await openDataset(makeFolder({ "1.png": grey(1), "labels/dataset.json": "{}" }));
    expect(bank.unlabelled).toMatch(/labels\/dataset\.json is not at the top level/);
  });

  test("names are the same whichever normal form they have", async () => {
    const [composed, decomposed] = ["caf\u00e9", "cafe\u0301"];
    const labels = [
      [`${composed}/1.png`, 1],
      [`${decomposed}/2.png`, 2],
    ];
    const files = { [`${decomposed}/1.png`]: grey(1), [`${composed}/2.png`]: grey(2) };
    for (const path of [makeFolder({ ...files, "dataset.json": JSON.stringify({ labels }) })]) {
      const bank = await openDataset(path);
      expect([firstValues(bank), bank.labels]).toEqual([[1, 2], Int32Array.of(1, 2)]);
    }
    const bank = await openDataset(makeFolder({ ...files, "dog/1.png": grey(3) }));
    expect(bank.classNames).toEqual([composed, "dog"]);
  });

  test("there are none in one folder, and images outside folders are one more", async () => {
    const single = await openDataset(makeFolder({ "a/1.png": grey(1), "a/b/2.png": grey(2) }));
    expect(single.labels).toBeUndefined();
    expect(classCount(single)).toBe(0);
    const outside = await openDataset(makeFolder({ "a/1.png": grey(1), "2.png": grey(2) }));
    expect(outside.labels).toEqual(Int32Array.of(0, 1));
  });

  test("dataset.json may name images that are not there, which is told", async () => {
    const labels = ["a/1.png", "b/2.png", "b/3.png", "gone.png"].map((path) => [path, 0]);
    const notes: string[] = [];
    const folder = makeFolder({ ...images, "dataset.json": JSON.stringify({ labels }) });
    const bank = await openDataset(folder, { onNote: (line) => void notes.push(line) });
    expect(bank.count).toBe(2);
    expect(notes.join()).toMatch(/dataset\.json has labels for 2 images that are not there: b\/3\.png, gone\.png/);
  });

  test("dataset.json may say that there are none", async () => {
    const bank = await openDataset(makeFolder({ ...images, "dataset.json": '{"labels": null}' }));
    expect(bank.labels).toBeUndefined();
  });

  test.each<[string, string, RegExp]>([
    ["no JSON", "{", /must read .* it is not JSON/],
    ["no labels", '{"classes": []}', /must read .* found no such "labels"/],
    ["no list", "[]", /found no such "labels"/],
    ["no pair", '{"labels": [["a/1.png"]]}', /pairs .* has \["a\/1.png"\]/],
    ["a missing image", '{"labels": [["a/1.png", 0]]}', /has none for "b\/2.png"/],
    ["a negative label", '{"labels": [["a/1.png", -1]]}', /whole numbers from 0 on, .* has -1 for "a\/1.png"/],
    ["a fraction", '{"labels": [["a/1.png", 0.5]]}', /has 0.5 for "a\/1.png"/],
    ["text for a label", '{"labels": [["a/1.png", "cat"]]}', /has "cat" for "a\/1.png"/],
    ["two labels for an image", '{"labels": [["a/1.png", 0], ["./a/1.png", 1]]}', /has 0 and 1 for ".\/a\/1.png"/],
    ["vectors", '{"labels": [["a/1.png", [0.5, 1]]]}', /a vector for "a\/1.png"; .* train without labels/],
  ])("dataset.json with %s is refused when labels are asked for, and only then", async (_, content, message) => {
    const folder = makeFolder({ ...images, "dataset.json": content });
    expect(await failure(openDataset(folder))).toMatch(message);
    expect((await openDataset(folder, { labels: false })).count).toBe(2);
  });
});

describe("folders", () => {
  test("links to folders are followed, but not in circles", async () => {
    const [folder, elsewhere] = [
      makeFolder({ "a/1.png": grey(1) }),
      makeFolder({ "2.png": grey(2), "sub/3.png": grey(3) }),
    ];
    symlinkSync(elsewhere, join(folder, "b"));
    symlinkSync(folder, join(elsewhere, "sub", "back"));
    symlinkSync("..", join(folder, "a", "up"));
    const bank = await openDataset(folder);
    expect(firstValues(bank)).toEqual([1, 2, 3]);
    expect(bank.labels).toEqual(Int32Array.of(0, 1, 1));
    expect(bank.classNames).toEqual(["a", "b"]);
  });

  test("names that are not UTF-8 are read as Latin-1, and found by dataset.json", async () => {
    const folder = makeFolder({ "dataset.json": JSON.stringify({ labels: [["caf\u00e9/1.png", 3]] }) });
    const inner = Buffer.concat([Buffer.from(`${folder}/caf`), Buffer.of(0xe9)]);
    mkdirSync(inner);
    writeFileSync(Buffer.concat([inner, Buffer.from("/1.png")]), grey(7));
    const bank = await openDataset(folder);
    expect(firstValues(bank)).toEqual([7]);
    expect(bank.labels).toEqual(Int32Array.of(3));
  });

  test("links to files count, a link back up does not, and a link to nothing is named", async () => {
    const folder = makeFolder({ "1.png": grey(1) });
    symlinkSync(join(folder, "1.png"), join(folder, "2.png"));
    mkdirSync(join(folder, "empty"));
    symlinkSync(folder, join(folder, "empty", "circle.png"));
    expect((await openDataset(folder)).count).toBe(2);
    symlinkSync(join(folder, "gone.png"), join(folder, "3.png"));
    expect(await failure(openDataset(folder))).toMatch(/3\.png is a broken link/);
  });

  test("what is missing or of no known kind is said", async () => {
    expect(await failure(openDataset(newPath("gone")))).toMatch(/there is no data set at .*gone/);
    expect(await failure(openDataset(makeFile("data.bin", "bytes")))).toMatch(
      /data\.bin is not a known kind of data set; supported/,
    );
    expect(await failure(openDataset(makeFile("empty", "")))).toMatch(/not a known kind/);
    expect(await failure(openDataset("/dev/null"))).toMatch(/not a known kind/);
    expect(await failure(openDataset(join(makeFile("file", "x"), "inside")))).toMatch(/no data set|cannot be read/);
  });
});

/** A zip archive of one stored image, with bytes of its directory entry changed. */
async function patchedZip(change: (entry: Buffer) => void): Promise<string> {
  const path = await makeZip({ "a/1.png": grey(1) });
  const bytes = readFileSync(path);
  change(bytes.subarray(bytes.indexOf("PK\x01\x02")));
  writeFileSync(path, bytes);
  return path;
}

/** A zip archive whose only name is the given bytes, with no word on what they mean. */
async function zipNamed(name: Buffer): Promise<string> {
  const placeholder = "x".repeat(name.length);
  const path = await makeZip({ [placeholder]: grey(1), "other/1.png": grey(2) });
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf(placeholder); at >= 0; at = bytes.indexOf(placeholder, at)) name.copy(bytes, at);
  // The flags of the directory's entries and of the files themselves: bit 11 would say UTF-8.
  for (const [mark, offset] of [
    ["PK\x01\x02", 8],
    ["PK\x03\x04", 6],
  ] as const) {
    for (let at = bytes.indexOf(mark); at >= 0; at = bytes.indexOf(mark, at + 1)) bytes.writeUInt16LE(0, at + offset);
  }
  writeFileSync(path, bytes);
  return path;
}

test.each<[string, Buffer]>([
  ["UTF-8", Buffer.from("caf\u00e9/1.png")],
  ["Latin-1", Buffer.from("caf\u00e9/1.png", "latin1")],
  ["code page 437", Buffer.concat([Buffer.from("caf"), Buffer.of(0x82), Buffer.from("/1.png")])],
])("names in zip archives that do not say their encoding: %s", async (_, name) => {
  expect((await openDataset(await zipNamed(name))).classNames).toEqual(["caf\u00e9", "other"]);
});

test("a tar archive that ends between two files is truncated, gzipped or not", async () => {
  const whole = tarFile({ "a/1.png": grey(1), "a/2.png": grey(2), "a/3.png": grey(3) });
  expect((await openDataset(makeFile("whole.tar", whole))).count).toBe(3);
  for (let size = 512; size <= whole.length - 1024; size += 512) {
    const part = whole.subarray(0, size);
    for (const [name, bytes] of [
      ["a.tar", part],
      ["a.tar.gz", gzipSync(part)],
    ] as const) {
      expect(await failure(openDataset(makeFile(name, bytes)))).toMatch(/tar archive, or is damaged or truncated/);
    }
  }
});

describe("damaged zip archives", () => {
  test.each([1, 30, 200, 700])("cut after %i bytes", async (size) => {
    const path = await makeZip({ "a/1.png": grey(1), "a/2.png": grey(2), "a/3.png": grey(3) }, { compress: false });
    truncateSync(path, Math.min(size, readFileSync(path).length - 1));
    expect(await failure(openDataset(path))).toMatch(/photos\.zip is not a zip archive, or is damaged or truncated/);
  });

  test.each<[string, (entry: Buffer) => void, RegExp]>([
    ["a wrong checksum", (entry) => entry.writeUInt32LE(1, 16), /its checksum is wrong/],
    ["too small a size", (entry) => entry.writeUInt32LE(5, 24), /a\/1\.png in photos\.zip cannot be unpacked/],
    ["too large a size", (entry) => entry.writeUInt32LE(5000, 24), /bytes instead of 5000/],
    ["the size of a bomb", (entry) => entry.writeUInt32LE(2 ** 31, 24), /it declares 2147483648 bytes, at most/],
    ["data beyond the end", (entry) => entry.writeUInt32LE(2 ** 20, 20), /a\/1\.png in photos\.zip cannot be unpacked/],
    ["no local header", (entry) => entry.writeUInt32LE(7, 42), /invalid local file header/],
    ["encryption", (entry) => entry.writeUInt16LE(1, 8), /it is encrypted/],
    ["another method", (entry) => entry.writeUInt16LE(93, 10), /compression method 93/],
    ["a path out of the archive", (entry) => entry.write("../x.png", 46), /is not a zip archive, or is damaged/],
  ])("%s", async (_, change, message) => {
    expect(await failure(openDataset(await patchedZip(change)))).toMatch(message);
  });

  test("a file that is no archive", async () => {
    expect(await failure(openDataset(makeFile("photos.zip", "hello")))).toMatch(/is not a zip archive/);
  });
});

/** A small PNG whose header declares another size. */
function declaring(width: number, height: number): Uint8Array {
  const bytes = Buffer.from(grey(1));
  bytes.writeUInt32BE(width, 16);
  bytes.writeUInt32BE(height, 20);
  return bytes;
}

describe("decoding", () => {
  test("a file name of several lines does not make the message so", async () => {
    const files = { "a\n\u001b[2Jb.png": "no image" };
    for (const path of [makeFolder(files), await makeZip(files)]) {
      expect(await failure(openDataset(path))).toMatch(/a\\x0a\\x1b\[2Jb\.png.* is not a PNG or JPEG image/);
    }
  });

  test("all files that cannot be used are named at once", async () => {
    const whole = await plainJpeg([1, 2, 3]);
    const broken = Object.fromEntries(Array.from({ length: 6 }, (_, i) => [`b${i}.png`, "no image"]));
    const files = { "a.png": "", ...broken, "c.jpg": whole, "d.jpg": whole.subarray(0, -40), "e.png": grey(1) };
    const message = await failure(openDataset(makeFolder(files)));
    expect(message).toMatch(
      /^8 of 10 images in \S*photos cannot be used: a\.png, b0\.png, b1\.png, b2\.png and 4 more\. \S*a\.png is not a PNG/,
    );
    expect(message).toMatch(
      /Besides, all images must have one size: \S*c\.jpg has 16x16, \S*e\.png has 4x4; make a data set/,
    );
  });

  test("a damaged image is named, the first one by path, and no tensor stays behind", async () => {
    const whole = await plainJpeg([10, 200, 30]);
    const files = Object.fromEntries(
      Array.from({ length: 100 }, (_, i) => [
        `${String(i).padStart(3, "0")}.jpg`,
        i === 41 || i === 43 || i === 97 ? whole.subarray(0, whole.length - 30) : whole,
      ]),
    );
    const before = memory().tensors;
    for (const path of [makeFolder(files), await makeZip(files)]) {
      expect(await failure(openDataset(path))).toMatch(/041\.jpg.* cannot be decoded, it is damaged or truncated/);
    }
    // Fewer: garbage of earlier tests may have been collected meanwhile.
    expect(memory().tensors).toBeLessThanOrEqual(before);
  });

  test("images beyond any training image are refused before they are decoded", async () => {
    const huge = declaring(2 ** 20, 2 ** 20);
    expect(await failure(openDataset(makeFolder({ "1.png": huge })))).toMatch(/1\.png declares 1048576x1048576 pixels/);
    const many = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`${i}.png`, declaring(2 ** 13, 2 ** 14)]));
    expect(await failure(openDataset(makeFolder(many)))).toMatch(/the 2000 images of .* take up to 750.0 GiB/);
    const lying = makeFolder({ "1.png": declaring(2 ** 12, 2 ** 12) });
    expect(await failure(openDataset(lying))).toMatch(/1\.png cannot be decoded/);
  });

  test("progress is told now and then, and at the end", async () => {
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${1000 + i}.png`, grey(i % 256)]));
    const calls: [number, number][] = [];
    const bank = await openDataset(makeFolder(files), { onProgress: (done, total) => calls.push([done, total]) });
    expect(firstValues(bank)).toEqual(Array.from({ length: 300 }, (_, i) => i % 256));
    expect(calls).toEqual([
      [256, 300],
      [300, 300],
    ]);
  });

  test("work in parallel keeps to its lanes, stops after a failure, and throws the first", async () => {
    let running = 0;
    const begun: number[] = [];
    const work = inParallel(20, 3, async (index) => {
      begun.push(index);
      running++;
      expect(running).toBeLessThanOrEqual(3);
      await new Promise((resolve) => setTimeout(resolve, index === 4 ? 20 : 1));
      running--;
      if (index >= 4) throw new Error(`number ${index}`);
    });
    await expect(work).rejects.toThrow("number 4");
    expect(running).toBe(0);
    expect(begun.length).toBeLessThan(20);
    await inParallel(0, 3, () => Promise.reject(new Error("never called")));
  });
});

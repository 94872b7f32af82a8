/** `stf dataset convert`: what is written, from which sources, and what is refused. */

import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { encode } from "fast-png";
import sharp from "sharp";
import { describe, expect, test } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { type ConvertRequest, convertOptions } from "../src/config/dataset-request.js";
import type { ImageBank } from "../src/data/image-bank.js";
import { openDataset } from "../src/data/open.js";
import { openZip } from "../src/data/zip.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { type ConvertResult, convertDataset } from "../src/jobs/convert-dataset.js";
import {
  failure,
  makeFile,
  makeFolder,
  makeZip,
  newPath,
  pattern,
  pixelsOf,
  plainJpeg,
  plainPng,
  png,
  tarFile,
  tarGz,
} from "./data-sources-support.js";
import { idxBytes, listener } from "./support.js";

interface Converted extends ConvertResult {
  readonly lines: readonly string[];
}

async function convert(source: string, request: Partial<ConvertRequest> = {}): Promise<Converted> {
  const { lines, reporter } = listener();
  const result = await convertDataset({ source, dest: newPath("set.zip"), ...request }, jobContext({ reporter }));
  return { ...result, lines };
}

/** The pixels of each image. */
async function valuesIn({ dest }: ConvertResult): Promise<number[][]> {
  const bank = await openDataset(dest);
  return Array.from({ length: bank.count }, (_, i) => pixelsOf(bank, i));
}

const numbered = (value: number, channels = 3): Uint8Array => plainPng(Array.from({ length: channels }, () => value));

describe("the published layout", () => {
  test("has a thousand images per folder, numbered as in the source, and dataset.json", async () => {
    const files = Object.fromEntries(
      Array.from({ length: 1003 }, (_, i) => [`${String(i).padStart(5, "0")}.png`, numbered(i % 251)]),
    );
    const { dest, count, bytes } = await convert(makeFolder(files));
    const source = await openZip(dest);
    expect(source.paths.slice(0, 2)).toEqual(["00000/img00000000.png", "00000/img00000001.png"]);
    expect(source.paths.slice(-3)).toEqual(["00001/img00001001.png", "00001/img00001002.png", "dataset.json"]);
    expect(JSON.parse(Buffer.from(await source.read("dataset.json")).toString())).toEqual({ labels: null });
    source.close();
    expect([count, bytes]).toEqual([1003, readFileSync(dest).length]);
    const values = await valuesIn({ dest } as ConvertResult);
    expect(values.map(([value]) => value)).toEqual(Array.from({ length: 1003 }, (_, i) => i % 251));
  });

  test("is the same as a folder, and equal images make equal archives", async () => {
    const folder = makeFolder({ "b/1.png": numbered(1), "a/2.png": numbered(2), "a/1.png": numbered(3) });
    const [first, second] = [await convert(folder), await convert(folder)];
    expect(readFileSync(first.dest)).toEqual(readFileSync(second.dest));
    const { dest } = await convert(folder, { dest: newPath("set") });
    const source = await openZip(first.dest);
    expect(
      readdirSync(dest, { recursive: true, encoding: "utf8" })
        .filter((name) => /\./.test(name))
        .sort(),
    ).toEqual(source.paths);
    for (const path of source.paths)
      expect(new Uint8Array(readFileSync(join(dest, path)))).toEqual(await source.read(path));
    source.close();
    expect(readdirSync(dirname(dest))).toEqual(["set"]);
  });

  test("keeps classes with their numbers and names", async () => {
    const folder = makeFolder({ "10/a.png": numbered(1), "9/a.png": numbered(2), "9/b.png": numbered(3) });
    const { dest, classCount, classNames } = await convert(folder);
    expect([classCount, classNames]).toEqual([2, ["9", "10"]]);
    const bank = await openDataset(dest);
    expect([[...(bank.labels ?? [])], bank.classNames]).toEqual([
      [1, 0, 0],
      ["9", "10"],
    ]);
    // Classes of a run keep their numbers.
    const again = await openDataset(dest, { numbering: ["10", "x", "9"] });
    expect([[...(again.labels ?? [])], again.classNames]).toEqual([
      [0, 2, 2],
      ["10", "x", "9"],
    ]);
    const other = await openDataset(dest, { numbering: ["10", "x"] });
    expect([[...(other.labels ?? [])], other.classNames]).toEqual([
      [1, 0, 0],
      ["9", "10"],
    ]);
    expect((await convert(dest)).classNames).toEqual(["9", "10"]);
    expect((await convert(dest, { labels: false })).classCount).toBe(0);
  });

  test("an image that is rejected leaves a gap; maxImages counts images of the source", async () => {
    const sizes = [9, 3, 8, 9];
    const files = Object.fromEntries(sizes.map((size, i) => [`${i}.png`, plainPng([i], size, size)]));
    const { dest, rejected, lines } = await convert(makeFolder(files), { crop: 8, maxImages: 3 });
    const source = await openZip(dest);
    expect(source.paths).toEqual(["00000/img00000000.png", "00000/img00000002.png", "dataset.json"]);
    source.close();
    expect(rejected).toEqual(["1.png"]);
    expect(lines.join()).toMatch(/1 of 3 images are smaller than 'crop=8'.*1\.png/);
    const wide = { resolution: [8, 6], transform: "center-crop-wide" } as const;
    const flat = await convert(makeFolder({ "a.png": plainPng([1], 9, 9), "b.png": plainPng([1], 16, 5) }), wide);
    expect([flat.rejected, flat.shape]).toEqual([["b.png"], { channels: 1, height: 8, width: 8 }]);
    expect(flat.lines.join()).toMatch(/1 of 2 images are narrower than 8 pixels, or too low for 'resolution=8x6'/);
  });
});

describe("sources", () => {
  const grey = (value: number): Uint8Array => numbered(value, 1);
  const rgb = pattern(5 * 4 * 3, { seed: 3 });
  const raw = { raw: { width: 5, height: 4, channels: 3 } } as const;
  const picture = (): ReturnType<typeof sharp> => sharp(Buffer.from(rgb), raw);

  test("files of many formats have the pixels that were stored", async () => {
    const bmp = Buffer.alloc(54 + 16 * 4);
    bmp.write("BM");
    for (const [position, value] of [
      [10, 54],
      [14, 40],
      [18, 5],
      [22, 4],
    ] as const)
      bmp.writeUInt32LE(value, position);
    bmp.writeUInt16LE(1, 26);
    bmp.writeUInt16LE(24, 28);
    for (let i = 0; i < 60; i++) {
      const [y, x, c] = [Math.floor(i / 15), Math.floor((i % 15) / 3), i % 3];
      bmp[54 + (3 - y) * 16 + x * 3 + (2 - c)] = rgb[i] as number;
    }
    const result = await convert(
      makeFolder({
        "a.png": png(rgb, 5, 4, 3),
        "b.webp": await picture().webp({ lossless: true }).toBuffer(),
        "c.tiff": await picture().tiff({ compression: "lzw" }).toBuffer(),
        "d.bmp": bmp,
        "e.gif": await picture().gif({ dither: 0 }).toBuffer(),
        "f.avif": await picture().avif({ lossless: true }).toBuffer(),
      }),
    );
    const values = await valuesIn(result);
    for (const image of values.slice(0, 4)) expect(image).toEqual(values[0]);
    expect(result.shape).toEqual({ channels: 3, height: 4, width: 5 });
    for (const image of values.slice(4)) {
      const worst = Math.max(...image.map((value, i) => Math.abs(value - (values[0]?.[i] as number))));
      expect(worst).toBeLessThan(40);
    }
  });

  test("grey images stay grey; one coloured image makes all RGB, channels=1 all grey", async () => {
    const greys = { "a.png": grey(10), "b.jpg": await plainJpeg([20], 4, 4) };
    expect((await convert(makeFolder(greys))).shape.channels).toBe(1);
    const mixed = makeFolder({ ...greys, "c.png": plainPng([255, 0, 0]) });
    const all = await convert(mixed);
    expect(all.lines.join()).toMatch(/grey images come before coloured ones.*'channels=1'/);
    expect((await valuesIn(all)).map((image) => [image[0], image[16], image[32]])).toEqual([
      [10, 10, 10],
      [20, 20, 20],
      [255, 0, 0],
    ]);
    expect((await valuesIn(await convert(mixed, { channels: 1 }))).map(([value]) => value)).toEqual([10, 20, 76]);
  });

  test("transparency, orientation and 16 bits are noted; a background shows through", async () => {
    const deep = encode({ width: 4, height: 4, channels: 1, depth: 16, data: new Uint16Array(16).fill(0x1234) });
    const folder = makeFolder({
      "a.png": plainPng([100, 50, 0, 51]),
      "b.png": plainPng([100, 50, 0, 255]),
      "c.jpg": await sharp(Buffer.from(rgb.slice(0, 48)), { raw: { width: 4, height: 4, channels: 3 } })
        .withMetadata({ orientation: 6 })
        .jpeg()
        .toBuffer(),
      "d.png": deep,
    });
    const { lines, ...stored } = await convert(folder);
    expect(lines.join("\n")).toMatch(/1 of 4 images transparent in places.*a\.png/);
    expect(lines.join("\n")).toMatch(/1 of 4 images turned.*c\.jpg/);
    expect(lines.join("\n")).toMatch(/1 of 4 images of 16 bits.*d\.png/);
    const pixel = async (result: ConvertResult, index: number): Promise<unknown[]> => {
      const image = (await valuesIn(result))[index] ?? [];
      return [image[0], image[16], image[32]];
    };
    expect(await pixel(stored, 0)).toEqual([100, 50, 0]);
    expect(await pixel(stored, 3)).toEqual([0x12, 0x12, 0x12]);
    expect(await pixel(await convert(folder, { background: "white" }), 0)).toEqual([224, 214, 204]);
    expect(await pixel(await convert(folder, { background: "black" }), 0)).toEqual([20, 10, 0]);
  });

  test("tar archives, with long names, are like zips", async () => {
    const files = { "set/a/1.png": grey(1), "set/b/2.png": grey(2), "set/._b": "", "set/note.txt": "x" };
    for (const archive of [makeFile("a.tar", tarFile(files)), makeFile("a.tgz", tarGz(files)), await makeZip(files)]) {
      const { lines, ...result } = await convert(archive);
      expect(result.classNames).toEqual(["a", "b"]);
      expect(lines.join()).toMatch(/1 file that is not an image was skipped: note\.txt/);
      expect((await valuesIn(result)).map(([value]) => value)).toEqual([1, 2]);
    }
  });

  test("MNIST-style sets: 28x28 is padded as published unless told otherwise; the split is chosen", async () => {
    const images = (value: number, side: number): Uint8Array =>
      idxBytes(
        [3, side, side],
        Array.from({ length: 3 * side ** 2 }, () => value),
      );
    const sets = (side: number): string =>
      makeFolder({
        "train-images-idx3-ubyte.gz": gzipSync(images(7, side)),
        "train-labels-idx1-ubyte.gz": gzipSync(idxBytes([3], [0, 2, 1])),
        "t10k-images-idx3-ubyte.gz": gzipSync(images(9, side)),
      });
    const folder = sets(28);
    const padded = await convert(join(folder, "train-images-idx3-ubyte.gz"));
    expect([padded.shape, padded.classCount]).toEqual([{ channels: 1, height: 32, width: 32 }, 3]);
    expect(padded.lines.join()).toMatch(/2 black pixels on every side.*'pad=0'/);
    const [first = []] = await valuesIn(padded);
    expect(first.reduce((sum, value) => sum + value, 0)).toBe(7 * 28 ** 2);
    expect([first[2 * 32 + 1], first[2 * 32 + 2]]).toEqual([0, 7]);
    expect((await convert(folder, { pad: 0 })).shape.width).toBe(28);
    const test = await convert(folder, { split: "test" });
    expect([test.shape.width, test.classCount, (await valuesIn(test))[0]?.[66]]).toEqual([32, 0, 9]);
    expect((await convert(sets(14))).shape.width).toBe(14);
    expect(await failure(convert(join(folder, "train-images-idx3-ubyte.gz"), { split: "test" }))).toMatch(
      /not named like test/,
    );
  });

  test("CIFAR-10: the test batch on request", async () => {
    const record = (label: number, value: number): Uint8Array => new Uint8Array(3073).fill(value).fill(label, 0, 1);
    const files: Record<string, Uint8Array> = { "c/test_batch.bin": record(3, 99) };
    for (let i = 1; i <= 5; i++) files[`c/data_batch_${i}.bin`] = record(i, i);
    const archive = makeFile("cifar-10-binary.tar.gz", tarGz(files));
    expect((await valuesIn(await convert(archive))).map(([value]) => value)).toEqual([1, 2, 3, 4, 5]);
    const tests = await convert(archive, { split: "test" });
    expect([tests.count, tests.classCount, (await valuesIn(tests))[0]?.[0]]).toEqual([1, 4, 99]);
    const { "c/test_batch.bin": _, ...others } = files;
    expect(await failure(convert(makeFolder(others), { split: "test" }))).toMatch(
      /images for tests of CIFAR-10, found no test_batch/,
    );
  });

  test("train and test folders are parts: used together without classes, or one of them", async () => {
    const folder = makeFolder({
      "train/a/1.png": grey(1),
      "train/b/1.png": grey(2),
      "test/a/1.png": grey(3),
      "val/a/1.png": grey(4),
    });
    const both = await convert(folder);
    expect([both.count, both.classCount]).toEqual([4, 0]);
    expect(both.lines.join()).toMatch(/test and train and val are parts of a data set.*'split=train'/);
    const train = await convert(folder, { split: "train" });
    expect([train.count, train.classNames]).toEqual([2, ["a", "b"]]);
    expect((await valuesIn(await convert(folder, { split: "test" }))).map(([value]) => value)).toEqual([3]);
    expect(await failure(convert(join(folder, "train"), { split: "test" }))).toMatch(
      /must have a folder test.*found none/,
    );
  });
});

describe("is refused", () => {
  test("unreadable files, all of them by name, unless they are to be left out", async () => {
    const jpeg = await plainJpeg([9, 9, 9]);
    const folder = makeFolder({
      "1.png": "text",
      "2.png": numbered(2),
      "3.jpg": jpeg.subarray(0, jpeg.length - 20),
      "4.webp": "RIFF",
      "5.png": numbered(5),
      "6.png": "",
    });
    const dest = newPath("set.zip");
    expect(await failure(convert(folder, { dest }))).toMatch(
      /4 of 6 images in .*photos cannot be used: 1\.png, 3\.jpg, 4\.webp, 6\.png\. .*1\.png is not an image.*'skipUnreadable'/,
    );
    expect(readdirSync(dirname(dest))).toEqual([]);
    const result = await convert(folder, { dest, skipUnreadable: true });
    expect([result.count, result.unreadable]).toEqual([2, ["1.png", "3.jpg", "4.webp", "6.png"]]);
    const source = await openZip(dest);
    expect(source.paths.slice(0, 2)).toEqual(["00000/img00000001.png", "00000/img00000004.png"]);
    source.close();
    const none = makeFolder({ "1.png": "text" });
    expect(await failure(convert(none, { skipUnreadable: true }))).toMatch(
      /none of the 1 images of .* can be used: 1 could not be read/,
    );
    expect(await failure(convert(none))).toMatch(/1\.png is not an image .*, or leave it out with 'skipUnreadable'/);
  });

  test("sizes that differ, with the options that help", async () => {
    const folder = makeFolder({ "1.png": plainPng([1], 90, 70), "2.png": plainPng([1], 33, 90) });
    expect(await failure(convert(folder))).toMatch(
      /one size: 1\.png has 90x70, 2\.png has 33x90; add 'resolution=32' and 'transform=center-crop'/,
    );
    const { shape } = await convert(folder, { resolution: [32, 32], transform: "center-crop" });
    expect(shape).toEqual({ channels: 1, height: 32, width: 32 });
    // The way from training to the same command.
    expect(await failure(openDataset(folder))).toMatch(
      /npx stf dataset convert --source=\S+ --dest=\S+photos-32x32\.zip --resolution=32x32 --transform=center-crop/,
    );
  });

  test("wrong labels, no images, and no data set", async () => {
    const set = (json: string): string => makeFolder({ "a.png": numbered(1), "dataset.json": json });
    expect(await failure(convert(set('{"labels": [["a.png", 0.5]]}')))).toMatch(
      /whole numbers from 0 on.*0\.5 for "a\.png"/,
    );
    expect(await failure(convert(set('{"labels": [["b.png", 1]]}')))).toMatch(/none for "a\.png"/);
    expect(await failure(convert(set('{"labels"')))).toMatch(/it is not JSON/);
    for (const names of ['["x"]', '["x", "x"]', '"xy"', "[1, 2]"]) {
      const json = `{"labels": [["a.png", 1]], "classNames": ${names}}`;
      expect(await failure(convert(set(json)))).toMatch(
        /"classNames" in .*dataset\.json must be a list of different names, one for each of the 2/,
      );
    }
    expect((await convert(set('{"labels": null}'))).classCount).toBe(0);
    expect(await failure(convert(makeFolder({ "a.txt": "x" })))).toMatch(/must hold images, found none among 1 files/);
    expect(await failure(convert("/nowhere/photos"))).toMatch(/there is no data set at/);
    const zip = readFileSync(await makeZip({ "a.png": numbered(1) }));
    expect(await failure(convert(makeFile("a.zip", zip.subarray(0, zip.length - 30))))).toMatch(/damaged or truncated/);
  });

  test("a destination that holds something, or cannot be written", async () => {
    const folder = makeFolder({ "a.png": numbered(1) });
    expect(await failure(convert(folder, { dest: makeFolder({ "x.txt": "" }) }))).toMatch(/a folder that holds files/);
    expect(await failure(convert(folder, { dest: makeFile("x.tar", "") }))).toMatch(
      /is a file; name a new or empty folder/,
    );
    expect(await failure(convert(folder, { dest: "/proc/nowhere/set.zip" }))).toMatch(/cannot be made.*'dest'/);
    expect(await failure(convert(folder, { dest: "/dev/full/set.zip" }))).toMatch(/cannot be made.*'dest'/);
    const empty = newPath("empty");
    mkdirSync(empty);
    expect((await convert(folder, { dest: empty })).count).toBe(1);
    const old = makeFile("old.zip", "old");
    await convert(folder, { dest: old });
    expect((await valuesIn({ dest: old } as ConvertResult)).length).toBe(1);
  });

  test.each<[Partial<ConvertRequest>, RegExp]>([
    [{ source: "a" }, /'dest' must name/],
    [{ dest: "a" }, /'source' must name/],
    [{ source: "a", dest: "./a" }, /must differ/],
    [{ source: "a", dest: "./a/b" }, /'dest' must lie outside 'source'/],
    [{ source: "a", dest: "b", transform: "center-crop" }, /'transform=center-crop' needs.*'resolution=64x64'/],
    [{ source: "a", dest: "b", transform: "center-crop-wide", resolution: [3, 4] }, /width of at least the height/],
    [{ source: "a", dest: "b", channels: 2 }, /1 \(grey\) or 3/],
    [{ source: "a", dest: "b", resolution: [0, 4] }, /'resolution' in the request must be a width and a height/],
  ])("%j", (request, message) => {
    expect(() => convertOptions(request)).toThrow(UsageError);
    expect(() => convertOptions(request)).toThrow(message);
  });
});

describe("an interrupted conversion", () => {
  const many = (): string =>
    makeFolder(Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`${i}.png`, numbered(i)])));

  test.each(["set.zip", "set"])("leaves nothing of %s, and an older one as it was", async (name) => {
    const dest = newPath(name);
    let asked = 0;
    const context = jobContext({ shouldStop: () => ++asked > 20 });
    await expect(convertDataset({ source: many(), dest }, context)).rejects.toThrow(Stopped);
    expect(readdirSync(dirname(dest))).toEqual([]);
    const old = newPath("old.zip");
    writeFileSync(old, "old");
    asked = 0;
    await expect(convertDataset({ source: many(), dest: old }, context)).rejects.toThrow(Stopped);
    expect([readdirSync(dirname(old)), readFileSync(old, "utf8")]).toEqual([["old.zip"], "old"]);
  });

  test("that was killed is cleaned up by the next one to the same name, and by no other", async () => {
    const dest = newPath("set.zip");
    const { pid: ended } = spawnSync("true");
    const left = (name: string, pid = ended): string => join(dirname(dest), `.${name}.${pid}.partial`);
    mkdirSync(left("set.zip"));
    writeFileSync(join(left("set.zip"), "x"), "");
    writeFileSync(left("other.zip"), "");
    // Of another conversion that is under way.
    const running = left("set.zip", process.ppid);
    writeFileSync(running, "");
    await convert(makeFolder({ "a.png": numbered(1) }), { dest });
    expect(readdirSync(dirname(dest)).sort()).toEqual(
      [basename(left("other.zip")), basename(running), "set.zip"].sort(),
    );
  });

  test("Ctrl-C ends the command with code 130 and leaves nothing", async () => {
    const dest = newPath("set.zip");
    const large = plainPng([9, 0, 0], 300, 300);
    const files = Object.fromEntries(Array.from({ length: 400 }, (_, i) => [`${i}.png`, large]));
    const command = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
    const words = ["dataset", `--source=${makeFolder(files)}`, `--dest=${dest}`, "--resolution=64"];
    const child = spawn(process.execPath, [command, ...words]);
    const text: string[] = [];
    child.stdout.on("data", (data: Buffer) => void text.push(String(data)));
    const isWriting = (): boolean => readdirSync(dirname(dest)).some((name) => name.endsWith(".partial"));
    while (!isWriting() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGINT");
    const code = await new Promise((resolve) => child.on("exit", resolve));
    expect([code, text.join("")]).toEqual([130, "stopped; nothing was written\n"]);
    expect([existsSync(dest), readdirSync(dirname(dest)).filter((name) => name !== basename(dest))]).toEqual([
      false,
      [],
    ]);
  });
});

test("what was converted is what training reads", async () => {
  const names = ["a", "b"].flatMap((folder) => [0, 1, 2].map((i) => `${folder}/${i}.png`));
  const files = Object.fromEntries(names.map((name, i) => [name, png(pattern(8 * 8 * 3, { seed: i + 1 }), 8, 8, 3)]));
  const folder = makeFolder(files);
  const bytes = (bank: ImageBank): unknown => [
    Array.from({ length: bank.count }, (_, i) => pixelsOf(bank, i)),
    bank.labels,
    bank.classNames,
  ];
  expect(bytes(await openDataset((await convert(folder)).dest))).toEqual(bytes(await openDataset(folder)));
});

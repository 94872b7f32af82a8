/** Data sets made on the spot: image files, folders, zip and tar archives, and the pickles of CIFAR-10. */

import { createWriteStream, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { gzipSync } from "node:zlib";
import { encode } from "fast-png";
import sharp from "sharp";
import { afterAll, expect } from "vitest";
import { ZipFile } from "yazl";
import { InputError } from "../src/common/errors.js";
import type { ImageBank } from "../src/data/image-bank.js";

export type Files = Readonly<Record<string, Uint8Array | string>>;

const root = mkdtempSync(join(tmpdir(), "stf-data-"));
afterAll(() => rmSync(root, { recursive: true }));

let used = 0;

/** A path that is not used yet, in a folder of its own that is removed after the tests. */
export function newPath(name: string): string {
  const folder = join(root, String(used++));
  mkdirSync(folder);
  return join(folder, name);
}

export function makeFile(name: string, bytes: Uint8Array | string): string {
  const path = newPath(name);
  writeFileSync(path, bytes);
  return path;
}

export function makeFolder(files: Files): string {
  const folder = newPath("photos");
  mkdirSync(folder);
  for (const [path, bytes] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), bytes);
  }
  return folder;
}

/** A zip archive, deflated unless `compress` is false. */
export async function makeZip(files: Files, { compress = true, zip64 = false } = {}): Promise<string> {
  const path = newPath("photos.zip");
  const zip = new ZipFile();
  for (const [name, bytes] of Object.entries(files)) {
    zip.addBuffer(Buffer.from(bytes), name, { compress, forceZip64Format: zip64 });
  }
  zip.end({ forceZip64Format: zip64, comment: "" });
  await pipeline(zip.outputStream, createWriteStream(path));
  return path;
}

/** Numbers from 0 to `limit` that look random and are always the same. */
export function pattern(length: number, { seed = 1, limit = 255 } = {}): number[] {
  let state = seed;
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % (limit + 1);
  });
}

/** A PNG of 8 bits; `values` in the order H, W, channels. */
export function png(values: readonly number[], width: number, height: number, channels: number): Uint8Array {
  return encode({ width, height, channels, depth: 8, data: Uint8Array.from(values) });
}

/** A PNG of one colour. */
export function plainPng(colour: readonly number[], width = 4, height = 4): Uint8Array {
  return png(Array.from({ length: width * height }, () => colour).flat(), width, height, colour.length);
}

/** A JPEG of one colour: grey for one value, RGB for three. */
export function plainJpeg(colour: readonly number[], width = 16, height = 16): Promise<Buffer> {
  const values = Buffer.from(Array.from({ length: width * height }, () => colour).flat());
  const picture = sharp(values, { raw: { width, height, channels: colour.length as 1 | 3 } });
  return (colour.length === 1 ? picture.toColourspace("b-w") : picture).jpeg({ quality: 95 }).toBuffer();
}

/** The bytes of one image of a bank, in the order C, H, W. */
export function pixelsOf(bank: ImageBank, index: number): number[] {
  return Array.from(bank.pixels.narrow(0, index, 1).toFloat64Array());
}

/** The first value of every image. */
export function firstValues(bank: ImageBank): number[] {
  return Array.from(bank.pixels.narrow(1, 0, 1).toFloat64Array());
}

/** The message of the failure, which must be one that the command line shows, in one line. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(InputError);
  const { message } = error as InputError;
  expect(message).not.toContain("\n");
  return message;
}

function tarHeader(path: string, size: number): Buffer {
  const header = Buffer.alloc(512);
  header.write(path, 0);
  header.write("0000644\0", 100);
  header.write(`${size.toString(8).padStart(11, "0")}\0`, 124);
  header.write("        0ustar\x0000", 148, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return header;
}

/** A tar archive, not compressed. */
export function tarFile(files: Files): Buffer {
  const blocks = Object.entries(files).flatMap(([path, content]) => {
    const bytes = Buffer.from(content);
    return [tarHeader(path, bytes.length), bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

export function tarGz(files: Files): Buffer {
  return gzipSync(tarFile(files));
}

function shortString(text: string): Buffer {
  return Buffer.concat([Buffer.from("U"), Buffer.from([text.length]), Buffer.from(text, "latin1")]);
}

function bigNumber(code: string, value: number): Buffer {
  const bytes = Buffer.alloc(5);
  bytes.write(code);
  bytes.writeInt32LE(value, 1);
  return bytes;
}

/** A batch of CIFAR-10 as Python 2 pickles it; `data` is an array of bytes `[labels.length, 3072]`. */
export function cifarPickle(
  labels: readonly number[],
  data: Uint8Array,
  { fortran = false, type = "u1" } = {},
): Buffer {
  return Buffer.concat([
    Buffer.from("\x80\x02}q\x01(", "latin1"),
    shortString("batch_label"),
    shortString("training batch 1 of 5"),
    shortString("labels"),
    Buffer.from("]q\x02(", "latin1"),
    ...labels.map((label) => (label < 0 ? bigNumber("J", label) : Buffer.from([0x4b, label]))),
    Buffer.from("e"),
    shortString("data"),
    Buffer.from("cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\0\x85", "latin1"),
    shortString("b"),
    Buffer.from("\x87Rq\x05(K\x01", "latin1"),
    bigNumber("J", labels.length),
    Buffer.from("M\x00\x0c\x86cnumpy\ndtype\nq\x06", "latin1"),
    shortString(type),
    Buffer.from("K\0K\x01\x87Rq\x07(K\x03", "latin1"),
    shortString("|"),
    Buffer.from("NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb", "latin1"),
    Buffer.from(fortran ? [0x88] : [0x89]),
    bigNumber("T", data.length),
    data,
    Buffer.from("tbu."),
  ]);
}

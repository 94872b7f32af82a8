/** LMDB databases written by Python's package, whole and damaged. */

import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { openImages } from "../src/data/image-sequence.js";
import { isLmdb, openLmdb } from "../src/data/lmdb.js";
import { openDataset } from "../src/data/open.js";
import { failure, newPath } from "./data-sources-support.js";
import { uniforms } from "./support.js";

const fixture = (name: string): Buffer => readFileSync(new URL(`./fixtures/lmdb/${name}`, import.meta.url));
const data = gunzipSync(fixture("data.mdb.gz"));
const digests = JSON.parse(fixture("values.json").toString()) as Record<string, string>;

function database(bytes: Uint8Array): string {
  const folder = newPath("church_lmdb");
  mkdirSync(folder);
  writeFileSync(join(folder, "data.mdb"), bytes);
  return folder;
}

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

describe("a database", () => {
  test("has the values of its last transaction, in the order of its keys", async () => {
    const folder = database(data);
    expect(isLmdb(folder)).toBe(true);
    const source = openLmdb(folder);
    expect(source.paths).toEqual(Object.keys(digests));
    for (const path of source.paths) expect([path, sha(await source.read(path))]).toEqual([path, digests[path]]);
    source.close();
  });

  test("is converted, not trained on; records that are no images are named", async () => {
    const folder = database(data);
    expect(await failure(openDataset(folder))).toMatch(/is a database of images.*stf dataset convert --source=/);
    const images = await openImages(folder);
    expect(images.count).toBe(Object.keys(digests).length);
    expect(await failure(images.open(0))).toMatch(/in .*church_lmdb is not an image/);
    images.close();
  });

  test.each<[string, (bytes: Buffer) => Uint8Array, RegExp]>([
    ["an empty file", () => Buffer.alloc(0), /refers to bytes after its end/],
    ["a text", () => Buffer.alloc(9000, "text "), /not an LMDB file/],
    ["a truncated one", (bytes) => bytes.subarray(0, bytes.length / 2), /after its end/],
    ["another version", (bytes) => bytes.fill(2, 20, 21), /version 2 of the format, only 1/],
  ])("%s is refused", async (_, change, message) => {
    const bytes = Buffer.from(change(Buffer.from(data)));
    expect(await failure(Promise.resolve().then(() => openLmdb(database(bytes))))).toMatch(message);
  });

  test("damage anywhere is refused or read, and always ends", async () => {
    const random = uniforms(3);
    const folder = database(data);
    for (let round = 0; round < 300; round++) {
      const bytes = Buffer.from(data);
      // Most bytes are values; headers are at the start of pages.
      const page = 4096 * Math.floor((random() * bytes.length) / 4096);
      for (let i = 0; i < 3; i++) bytes[page + Math.floor(200 * random())] = Math.floor(256 * random());
      writeFileSync(join(folder, "data.mdb"), bytes);
      const read = async (): Promise<void> => {
        const source = openLmdb(folder);
        try {
          for (const path of source.paths) await source.read(path);
        } finally {
          source.close();
        }
      };
      await read().catch((error: Error) => expect([round, error.name]).toEqual([round, "InputError"]));
    }
  });
});

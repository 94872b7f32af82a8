/** Archives of stored files, read back by yauzl. */

import { closeSync, ftruncateSync, openSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { openZip } from "../src/data/zip.js";
import { StoredZip } from "../src/images/stored-zip.js";
import { newPath } from "./data-sources-support.js";
import { randomBytes } from "./support.js";

function write(entries: Iterable<readonly [string, Uint8Array]>): string {
  const path = newPath("a.zip");
  const descriptor = openSync(path, "w");
  const zip = new StoredZip(descriptor);
  for (const [name, bytes] of entries) zip.add(name, bytes);
  zip.finish();
  closeSync(descriptor);
  expect(statSync(path).size).toBe(zip.size);
  return path;
}

test.each([0, 1, 5, 3000])("an archive of %i files has them", async (count) => {
  const entries = Array.from({ length: count }, (_, i) => [`a/${i}.png`, randomBytes(i % 700, i)] as const);
  const source = await openZip(write(entries));
  expect(source.paths).toEqual(entries.map(([name]) => name).sort());
  for (const [name, bytes] of entries) expect(await source.read(name)).toEqual(bytes);
  source.close();
});

test("more than 65,535 files need the records of zip64", async () => {
  const count = 70_000;
  const path = write(
    (function* () {
      for (let i = 0; i < count; i++) yield [`${i}`, Uint8Array.of(i & 255)] as const;
    })(),
  );
  const source = await openZip(path);
  expect(source.paths.length).toBe(count);
  expect(await source.read("69999")).toEqual(Uint8Array.of(69_999 & 255));
  source.close();
});

test("files beyond 4 GiB are found", async () => {
  const path = newPath("large.zip");
  const descriptor = openSync(path, "a");
  // A hole instead of that many images: it takes no room on the disk, and what comes before an archive does not matter.
  ftruncateSync(descriptor, 2 ** 32 - 60);
  const zip = new StoredZip(descriptor);
  zip.add("near", Uint8Array.of(1, 2, 3));
  zip.add("far", Uint8Array.of(4, 5));
  zip.finish();
  closeSync(descriptor);
  const source = await openZip(path);
  expect(await source.read("near")).toEqual(Uint8Array.of(1, 2, 3));
  expect(await source.read("far")).toEqual(Uint8Array.of(4, 5));
  source.close();
});

/** The versions of Node that this project says it runs on. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, expect, test, vi } from "vitest";
import { checkNode, isTooOld, OLDEST_NODE } from "../packages/stf/src/common/node-version.js";

const root = fileURLToPath(new URL("..", import.meta.url));
const textOf = (path: string): string => readFileSync(join(root, path), "utf8");

afterEach(() => {
  vi.doUnmock("node:zlib");
  vi.resetModules();
});

test("every package asks for those that will do, and README.md names the oldest", () => {
  for (const folder of [".", "packages/torch", "packages/stf"]) {
    const { engines } = JSON.parse(textOf(`${folder}/package.json`)) as { engines: unknown };
    expect(engines).toEqual({ node: `>=${OLDEST_NODE}` });
  }
  expect(textOf("README.md")).toContain("Node 20.9 or later");
});

test("an older one is told in one line, also where its name sorts behind", () => {
  const versions = ["9.11.2", "18.20.4", "20.0.0", "20.8.1", "20.9.0", "20.14.0", "22.0.0", "24.1.0"];
  expect(versions.filter(isTooOld)).toEqual(["9.11.2", "18.20.4", "20.0.0", "20.8.1"]);
  expect(() => checkNode("20.8.1")).toThrow(/^Node 20\.9\.0 or later is needed, this is 20\.8\.1 \(.+\); install/);
  checkNode("22.1.0");
});

test.each([true, false])("the checksum of archives, with Node's own: %s", async (isNative) => {
  if (!isNative) vi.doMock("node:zlib", () => ({ default: {} }));
  const { crc32 } = await import("../packages/stf/src/codecs/crc32.js");
  // The check value of CRC-32, and a view into a larger buffer.
  const bytes = new TextEncoder().encode("0123456789");
  expect(crc32(bytes.subarray(1))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array(0))).toBe(0);
});

/** The versions of Node that this project says it runs on. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const textOf = (path: string): string => readFileSync(join(root, path), "utf8");

test("every package asks for those that have zlib.crc32, and README.md names the oldest", () => {
  for (const folder of [".", "packages/torch", "packages/stf"]) {
    const { engines } = JSON.parse(textOf(`${folder}/package.json`)) as { engines: unknown };
    expect(engines).toEqual({ node: "^20.15.0 || >=22.2.0" });
  }
  expect(textOf("README.md")).toContain("Node 20.15 or later (of Node 22, 22.2)");
});

/** The examples run as their first lines say, and show what they promise. */

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decode } from "fast-png";
import { writePng } from "stf";
import { afterAll, expect, test } from "vitest";
import { blobs, idxBytes } from "../packages/stf/test/support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-examples-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function run(name: string, ...args: readonly string[]): string {
  const path = fileURLToPath(new URL(`../examples/dist/${name}.js`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [path, ...args], { encoding: "utf8" });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return stdout;
}

test("tensors: the gradient of a square is twice the number", () => {
  expect(run("tensors")).toContain("[2,4,6]");
});

test("posterior: from the source alone to all points alike", () => {
  const numbers = run("posterior")
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((cells) => cells.length === 5 && cells.every(Number.isFinite)) as [
    number,
    number,
    number,
    number,
    number,
  ][];
  expect(numbers.length).toBeGreaterThan(5);
  for (const [first, second] of numbers.slice(1).map((row, i) => [numbers[i]!, row] as const)) {
    // More noise: more points share a posterior, and its mean is farther from the source.
    for (const column of [0, 1, 2, 4]) expect(second[column]).toBeGreaterThan(first[column]!);
    expect(second[3]).toBeLessThan(first[3]);
  }
  const [least, most] = [numbers[0]!, numbers.at(-1)!];
  expect(least[1]).toBeLessThan(1.1);
  expect(least[3]).toBeGreaterThan(0.95);
  expect(most[1]).toBeGreaterThan(1900);
  expect(most[2]).toBeLessThanOrEqual(Math.log(2000));
  expect(most[3]).toBeCloseTo(1 / 2000, 4);
});

test("mixture: the stable target comes closer to the exact denoiser at every noise level shown", () => {
  const lines = run("mixture").split("\n");
  const errorsOf = (name: string): number[] => {
    const line = lines.find((text) => text.includes(name)) ?? expect.fail(`there is no line about ${name}`);
    return Array.from(line.matchAll(/([\d.]+) at sigma/g), ([, error]) => Number(error));
  };
  const [denoising, stable] = [errorsOf("denoising score matching"), errorsOf("stable target field")];
  expect(denoising).toHaveLength(3);
  stable.forEach((error, i) => {
    expect(error).toBeLessThan(denoising[i] as number);
  });
});

test("target, then sampler: a network is trained on an own target, and an own sampler draws from it", () => {
  const images = join(folder, "images");
  mkdirSync(images);
  const shape = { channels: 1, height: 8, width: 8 };
  for (let i = 0; i < 20; i++) {
    const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3)) % 256);
    writePng(join(images, `${i}.png`), pixels, shape);
  }
  const [snapshot, grid] = [join(folder, "net.safetensors"), join(folder, "grid.png")];
  expect(run("target", images, snapshot, "3")).toMatch(/^3 steps, mean loss \d\.\d+\nsaved /);
  expect(existsSync(snapshot)).toBe(true);
  expect(run("sampler", snapshot, grid, "3")).toMatch(/^drew 16 images with midpoint/);
  const { width, height, channels } = decode(readFileSync(grid));
  expect([width, height, channels]).toEqual([32, 32, 1]);
});

test("averages: those made afterwards come closer the more are stored, and are exact if all are", () => {
  const rows = run("averages", join(folder, "images"), "40")
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((cells) => cells.length === 8 && cells.every(Number.isFinite));
  expect(rows.map(([stored]) => stored)).toEqual([2, 4, 8, 20, 40]);
  const all = rows.at(-1)!;
  for (let column = 1; column < 8; column++) {
    // The third and the fifth width are those that are kept.
    const isKept = column === 3 || column === 5;
    for (const [i, row] of rows.slice(1).entries()) {
      if (isKept) expect(row[column]).toBeLessThan(1e-6);
      else expect(row[column]).toBeLessThan(rows[i]![column]!);
    }
    expect(all[column]).toBeLessThan(1e-6);
  }
});

test.each([
  ["sampler", "sampling"],
  ["target", "targets"],
])("docs quote the example %s as it is", (name, page) => {
  const source = readFileSync(new URL(`../examples/${name}.ts`, import.meta.url), "utf8");
  const text = readFileSync(new URL(`../docs/${page}.md`, import.meta.url), "utf8");
  expect(text).toContain(`\`\`\`ts\n${source.slice(source.indexOf("import"))}\`\`\``);
});

test("gaussian: what the best linear denoiser leaves has the size that the preconditioning states", () => {
  const images = join(folder, "spots-images-idx3-ubyte");
  const bank = blobs(600, 28);
  writeFileSync(images, idxBytes([600, 28, 28], bank.pixels.toTypedArray() as Uint8Array));
  bank.dispose();
  const text = run("gaussian", images, images, "--images=96", "--num=20", "--cbase=8");
  expect(text).toMatch(/the network alone +Fréchet \d/);
  // A network that has hardly begun adds nothing.
  const loss = Number(/^32 images, mean loss ([\d.]+)$/m.exec(text)?.[1]);
  expect(Math.abs(loss - 1)).toBeLessThan(0.3);
});

/** The examples run as their first lines say, and show what they promise. */

import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

function run(name: string): string {
  const path = fileURLToPath(new URL(`../examples/dist/${name}.js`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [path], { encoding: "utf8" });
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

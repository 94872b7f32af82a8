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

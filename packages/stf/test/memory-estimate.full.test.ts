/** `--dry-run` says how much memory a training takes, within 20 %. */

import { test } from "vitest";
import { expectMemoryAsEstimated } from "./memory-estimate.js";

const unet = ["--cbase=64", "--num-blocks=2"];

test.each([
  ["most of it for drawing", 16, unet],
  ["most of it for steps", 48, unet],
  ["recomputation", 32, [...unet, "--recompute"]],
  ["micro-batches", 48, [...unet, "--batch-gpu=32"]],
  ["bf16", 32, [...unet, "--precision=bf16"]],
  ["ncsnpp", 32, [...unet, "--arch=ncsnpp"]],
  ["two averages", 16, [...unet, "--average=power"]],
  ["the published network", 8, []],
] as const)("%s", { timeout: 600_000 }, (_, batch, options) => expectMemoryAsEstimated(batch, options));

/**
 * A sampler of one's own, the midpoint rule, and a grid of images drawn with it.
 * Run: node examples/dist/sampler.js SNAPSHOT GRID.png [STEPS]
 */

import { scope } from "@stf/torch";
import {
  estimateAt,
  generateImages,
  imagesOf,
  karrasSteps,
  loadSnapshot,
  methodOf,
  type Sampler,
  writeGrid,
} from "stf";

/** The midpoint rule on the probability flow: the velocity half a step ahead decides. */
const midpoint: Sampler = {
  name: "midpoint",
  order: 2,
  sample: (denoise, start, { process, times }, { onStep } = {}) =>
    scope(() => {
      let x = start;
      for (const [step, time] of times.slice(1).entries()) {
        const before = x;
        x = scope(() => {
          const t = times[step] as number;
          const here = estimateAt("velocity", denoise, process, before, t);
          const half = before.add(here, { alpha: (time - t) / 2 });
          const middle = estimateAt("velocity", denoise, process, half, (t + time) / 2);
          return before.add(middle, { alpha: time - t });
        });
        if (before !== start) before.dispose();
        onStep?.({ step, progress: (step + 1) / (times.length - 1), x, time });
      }
      return x;
    }),
};

const [snapshot, grid, steps = "18"] = process.argv.slice(2);
if (snapshot === undefined || grid === undefined) throw new Error("usage: sampler.js SNAPSHOT GRID.png [STEPS]");
const { denoiser } = loadSnapshot(snapshot);
const seeds = Array.from({ length: 16 }, (_, seed) => seed);
const { images } = generateImages(denoiser, seeds, { method: methodOf(midpoint, karrasSteps(Number(steps)), {}) });
writeGrid(grid, imagesOf(images), denoiser.shape);
console.log(`drew ${seeds.length} images with ${midpoint.name}: ${grid}`);

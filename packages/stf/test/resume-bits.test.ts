/** A run that is stopped and continued equals one without a break, to the last bit, whatever its options. */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadSafetensors } from "@stf/torch";
import { afterAll, expect, test } from "vitest";
import { writePng } from "../src/codecs/png.js";
import type { TrainRequest } from "../src/config/train-request.js";
import { jobContext } from "../src/jobs/context.js";
import { train } from "../src/jobs/train.js";
import { statePath } from "../src/run/files.js";

const folder = mkdtempSync(join(tmpdir(), "stf-bits-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data = join(folder, "images");
for (let i = 0; i < 40; i++) {
  const label = join(data, `class-${i % 2}`);
  mkdirSync(label, { recursive: true });
  const pixels = Uint8Array.from({ length: 64 }, (_, p) => (p * (i + 3) + 40 * (i % 2)) % 256);
  writePng(join(label, `${i}.png`), pixels, { channels: 1, height: 8, width: 8 });
}

const STEPS = 5;
const request: TrainRequest = {
  ...{ data, outdir: folder, preset: "published", seed: 3, stf: true, rbatch: 16 },
  ...{ arch: "ddpmpp", cbase: 8, cres: [1, 2], numBlocks: 1, attn: [4], dropout: 0, augment: 0 },
  ...{ batch: 8, lr: 1e-2, lrRampup: 0, ema: 1e-4, duration: (8 * STEPS) / 1e6, tick: 0.008, snap: 1, dump: 1 },
};

const dimensions: Record<string, TrainRequest> = {
  bf16: { precision: "bf16" },
  augmentation: { augment: 0.5 },
  "class labels": { cond: true, labelDropout: 0.3 },
  "all references": { rbatch: "all" },
  "a mixture, and noise below it": { analytic: 1, trainBelow: "auto" },
  "accumulated gradients": { batchGpu: 3, recompute: true },
};

const cases: [name: string, more: TrainRequest][] = [
  ...Object.entries(dimensions),
  ["everything at once", Object.assign({ dropout: 0.2, xflip: true, clip: 0.5 }, ...Object.values(dimensions))],
];

/** The tensors of a state, by name. */
const tensorsOf = (run: string): Map<string, number[]> => {
  const { tensors } = loadSafetensors(statePath(run, 8 * STEPS));
  return new Map(
    Array.from(tensors, ([name, tensor]) => {
      const values = Array.from(tensor.toFloat64Array());
      tensor.dispose();
      return [name, values];
    }),
  );
};

test.each(cases)("%s", async (name, more) => {
  const given = { ...request, ...more };
  const [straight, broken] = [`${name} straight`, `${name} broken`];
  await train({ ...given, name: straight });
  // Again and again until it is through, a step or two at a time.
  let attempts = 0;
  for (let reason = ""; reason !== "finished"; attempts++) {
    expect(attempts).toBeLessThan(2 * STEPS);
    let asked = 0;
    ({ reason } = await train({ ...given, name: broken }, jobContext({ shouldStop: () => ++asked > 6 })));
  }
  expect(attempts).toBeGreaterThan(1);
  expect(tensorsOf(join(folder, broken))).toEqual(tensorsOf(join(folder, straight)));
});

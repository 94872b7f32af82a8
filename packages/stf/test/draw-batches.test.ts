/** Drawing in memory: batches of a snapshot, over several processes, without output files. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveNetwork } from "../src/checkpoints/network-file.js";
import { imagesOf } from "../src/codecs/planes.js";
import { drawingOptions, type GenerateRequest } from "../src/config/generate-request.js";
import { jobContext, Stopped } from "../src/jobs/context.js";
import { batchesOfRank, DrawingTally, drawBatches } from "../src/jobs/draw-batches.js";
import { type Drawing, openDrawing } from "../src/jobs/drawing.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { generateImages } from "../src/sampling/generate.js";

const folder = mkdtempSync(join(tmpdir(), "stf-batches-"));
const network = join(folder, "network.safetensors");
const shape = { channels: 1, height: 4, width: 4 };

beforeAll(() => {
  const config: NetworkConfig = {
    ...{ arch: "mlp", precond: "edm", shape, modelChannels: 8, numBlocks: 1, labelDim: 3, channelMult: [] },
    ...{ attnResolutions: [], dropout: 0, augmentDim: 0 },
  };
  const denoiser = buildDenoiser(config);
  saveNetwork(network, denoiser, config, {});
  denoiser.dispose();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const open = (request: GenerateRequest = {}): Promise<Drawing> =>
  openDrawing(drawingOptions({ network, steps: 3, ...request }), { rank: 0, size: 1, local: 0 });

test("every seed is in one batch of one process, and no process waits for a last batch", () => {
  for (const [count, batch, size] of [
    [10, 4, 1],
    [10, 4, 3],
    [64, 64, 2],
    [5, 100, 4],
    [2, 1, 5],
    [1, 7, 1],
  ] as const) {
    const seeds = Array.from({ length: count }, (_, i) => 3 * i + 1);
    const ranks = Array.from({ length: size }, (_, rank) => batchesOfRank(seeds, batch, { rank, size }));
    expect(ranks.flat(2).sort((a, b) => a - b)).toEqual(seeds);
    const lengths = ranks.flat().map(({ length }) => length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(batch);
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
    const rounds = ranks.map((batches) => batches.length);
    expect(Math.max(...rounds) - Math.min(...rounds)).toBeLessThanOrEqual(1);
  }
});

describe("batches", () => {
  test("have the images and classes that their seeds determine, and are freed", async () => {
    const drawing = await open();
    const seeds = [9, 2, 5, 4, 7];
    const method = drawing.conditions.method;
    const { images, classes } = generateImages(drawing.snapshot.denoiser, seeds, { method });
    const expected = imagesOf(images);
    images.dispose();
    const { tensors } = memory();
    const tally = new DrawingTally(() => 0);
    let first = 0;
    for (const batch of drawBatches(
      drawing,
      [
        [9, 2, 5],
        [4, 7],
      ],
      jobContext(),
      tally,
    )) {
      const last = first + batch.seeds.length;
      expect(batch.seeds).toEqual(seeds.slice(first, last));
      expect(imagesOf(batch.images)).toEqual(expected.slice(first, last));
      expect(batch.classes).toEqual(classes?.slice(first, last));
      first = last;
    }
    expect(tally).toMatchObject({ images: 5, batches: 2, evaluationsPerImage: 5 });
    expect(memory().tensors).toBe(tensors);
    drawing.dispose();
  });

  test("have the requested class, and end with the loop that takes them", async () => {
    const before = memory().tensors;
    const drawing = await open({ class: 2 });
    for (const { classes } of drawBatches(drawing, [[1, 2], [3]], jobContext())) {
      expect(classes).toEqual([2, 2]);
      break;
    }
    drawing.dispose();
    expect(memory().tensors).toBe(before);
  });

  test("stop between the steps of a sampler, and the tally keeps what was drawn", async () => {
    const drawing = await open();
    let asked = 0;
    const context = jobContext({ shouldStop: () => ++asked > 4 });
    const tally = new DrawingTally(context.now);
    const draw = (): void => {
      for (const _ of drawBatches(drawing, [[1], [2], [3]], context, tally));
    };
    expect(draw).toThrow(Stopped);
    expect(tally.images).toBe(1);
    drawing.dispose();
  });
});

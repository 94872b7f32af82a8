/** Drawing in memory: batches of a snapshot, over several processes, without output files. */

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
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
import { estimateDrawing } from "../src/jobs/drawing-estimate.js";
import { generate } from "../src/jobs/generate.js";
import { latestSnapshot } from "../src/jobs/snapshots.js";
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

describe("a run folder stands for its latest snapshot", () => {
  const run = join(folder, "run");
  const latest = join(run, "network-snapshot-000001500.safetensors");
  beforeAll(() => {
    mkdirSync(run);
    mkdirSync(join(folder, "empty"));
    writeFileSync(join(run, "network-snapshot-000000900.safetensors"), "damaged");
    copyFileSync(network, latest);
    // An earlier version counted thousands.
    writeFileSync(join(run, "network-snapshot-000001.safetensors"), "damaged");
  });

  test("which is named", async () => {
    const drawing = await open({ network: run });
    expect(drawing.request.network).toBe(latest);
    expect(drawing.notes).toEqual([`using the latest network snapshot of the run, ${latest}`]);
    drawing.dispose();
    expect(latestSnapshot(network)).toEqual({ path: network, notes: [] });
  });

  test("if it has one", async () => {
    await expect(open({ network: join(folder, "empty") })).rejects.toThrow(
      /must be a network snapshot or a run folder/,
    );
  });
});

test("an estimate has the network evaluations that drawing then takes, and writes nothing", async () => {
  const grid = join(folder, "grid.png");
  for (const more of [{}, { guidance: 2 }, { sampler: "euler" }, { sampler: "pc", corrector: "none" }] as const) {
    const request: GenerateRequest = { network, steps: 4, seeds: [1, 2, 3], grid, ...more };
    let time = 0;
    // Every look at the clock takes 1.5 seconds: half a second for each of three images.
    const now = (): number => (time += 1.5);
    const estimate = await estimateDrawing(request, jobContext({ now }));
    expect(existsSync(grid)).toBe(false);
    const drawn = await generate(request);
    rmSync(grid);
    expect(estimate).toMatchObject({ images: 3, evaluations: drawn.evaluations, secondsPerEvaluation: 0.5 });
    expect(estimate.seconds).toBeCloseTo(1.5 * drawn.evaluations!, 9);
    expect(estimate.description[0]).toMatch(/^drawing 3 images of 4x4x1/);
  }
  expect((await estimateDrawing({ network, sampler: "rk45", grid })).seconds).toBeNaN();
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

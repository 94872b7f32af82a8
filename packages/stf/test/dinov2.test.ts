import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { memory, ones, saveSafetensors, scope, type Tensor, zeros } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import { loadFeatureNetwork } from "../src/checkpoints/feature-network-file.js";
import { dinov2Network, dinov2Shapes } from "../src/features/dinov2.js";
import type { FeatureNetwork } from "../src/features/feature-network.js";
import { madeImages, madeWeights } from "./feature-support.js";
import { golden, relativeDeviation } from "./support.js";

const sizes = { width: 128, depth: 2, grid: 37 };
const sha256 = "0".repeat(64);
const values = golden("dinov2-values");

const folder = mkdtempSync(join(tmpdir(), "stf-dinov2-"));
afterAll(() => rmSync(folder, { recursive: true }));

function smallNetwork(): FeatureNetwork {
  return scope(() => {
    const weights = madeWeights(dinov2Shapes(sizes));
    return dinov2Network((name) => weights.get(name) as Tensor, sizes, { sha256 });
  });
}

describe("a transformer of DINOv2", () => {
  test.each([
    ["colour", 1, 3, 3, 32, 32],
    ["grey", 2, 2, 1, 28, 28],
    ["large", 3, 1, 3, 300, 250],
  ] as const)("PyTorch computes the same for %s images", (name, seed, count, channels, height, width) => {
    const network = smallNetwork();
    scope(() => {
      const { features, logits } = network.extract(madeImages(seed, count, channels, height, width));
      expect([features.shape, logits]).toEqual([[count, 128], undefined]);
      expect(relativeDeviation(features, values.tensors.get(name) as Tensor)).toBeLessThan(3e-6);
    });
    network.dispose();
  });

  test("the published size has 304 million numbers", () => {
    let count = 0;
    for (const shape of dinov2Shapes({ width: 1024, depth: 24, grid: 37 }).values()) {
      count += shape.reduce((product, size) => product * size, 1);
    }
    // dinov2_vitl14_pretrain.pth has 1,217,586,395 bytes, of which some 300 for each of its tensors are not numbers.
    expect(4 * count).toBe(1_217_474_560);
  });
});

describe("its file", () => {
  function saved(name: string, change: (weights: Map<string, Tensor>) => void = () => {}): string {
    const path = join(folder, name);
    scope(() => {
      const weights = madeWeights(dinov2Shapes(sizes));
      change(weights);
      saveSafetensors(path, weights);
    });
    return path;
  }

  test("gives the same features", async () => {
    const before = memory().tensors;
    const network = await loadFeatureNetwork(saved("whole.safetensors"));
    scope(() => {
      const { features } = network.extract(madeImages(1, 3, 3, 32, 32));
      expect(relativeDeviation(features, values.tensors.get("colour") as Tensor)).toBeLessThan(3e-6);
    });
    expect(network).toMatchObject({ name: "dinov2", resize: "bicubic-antialias-224", dimension: 128, classes: 0 });
    network.dispose();
    expect(memory().tensors).toBe(before);
  });

  test.each([
    ["registers", (w) => w.set("register_tokens", zeros([1, 4, 128])), "it is a DINOv2 with registers"],
    ["lacks", (w) => w.delete("blocks.1.attn.qkv.bias"), "it lacks blocks.1.attn.qkv.bias"],
    [
      "positions",
      (w) => w.set("pos_embed", zeros([1, 12, 128])),
      'its "pos_embed" has the shape [1, 12, 128], expected [1, 10, 128]',
    ],
    ["infinite", (w) => w.set("norm.bias", ones([128]).div(0)), 'its "norm.bias" has numbers that are not finite'],
  ] as [string, (weights: Map<string, Tensor>) => void, string][])("is refused: %s", async (name, change, message) => {
    const path = saved(`${name}.safetensors`, change);
    const before = memory().tensors;
    await expect(loadFeatureNetwork(path)).rejects.toThrow(message);
    expect(memory().tensors).toBe(before);
  });
});

/** The classifier as a measuring device: what it computes, how it is trained, and its file. */

import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { FileFormatError, manualSeed, memory, noGrad, saveSafetensors, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test } from "vitest";
import {
  type ClassifierDescription,
  isClassifierFile,
  readClassifier,
  saveClassifier,
} from "../src/checkpoints/classifier-file.js";
import { loadSnapshot } from "../src/checkpoints/network-file.js";
import { shippedFeatures } from "../src/checkpoints/shipped-features.js";
import { InputError } from "../src/common/errors.js";
import { ImageBank } from "../src/data/image-bank.js";
import { Classifier, classifierFeatures } from "../src/features/classifier.js";
import {
  type ClassifierSettings,
  classificationLoss,
  countCorrect,
  holdOut,
  trainClassifier,
  triangle,
} from "../src/features/classifier-training.js";
import { maxDeviation, normals, randomBytes, relativeDeviation, sameBits, uniforms } from "./support.js";

const folder = mkdtempSync(join(tmpdir(), "stf-classifier-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const shape = { channels: 1, height: 8, width: 8 };

/** Noise around a light upper half (class 0), or a light left half (class 1). */
function halves(count: number, seed = 1): ImageBank {
  const random = uniforms(seed);
  const labels = Int32Array.from({ length: count }, () => Math.floor(2 * random()));
  const bytes = new Uint8Array(count * 64);
  for (let i = 0; i < bytes.length; i++) {
    const position = i % 64;
    const isLight = labels[Math.floor(i / 64)] === 0 ? position < 32 : position % 8 < 4;
    bytes[i] = Math.floor(100 * random()) + (isLight ? 80 : 0);
  }
  return ImageBank.fromBytes("halves", shape, bytes, { labels });
}

const bank = halves(200);
const all = Int32Array.from({ length: bank.count }, (_, i) => i);
const settings: ClassifierSettings = { dimension: 8, width: 4, epochs: 6, batch: 20, lr: 0.01, xflip: false, seed: 3 };
const trained = trainClassifier(bank, all, settings) as Classifier;

const about: ClassifierDescription = {
  ...{ data: "halves", dataDigest: "0".repeat(64), images: 200, classNames: null },
  accuracy: { correct: 48, images: 50, from: "held out" },
  ...{ epochs: 6, batch: 20, lr: 0.01, xflip: false, seed: 3 },
};
const file = join(folder, "classifier.safetensors");
saveClassifier(file, trained, about);

const bytesOf = (count: number, { channels, height, width } = shape, seed = 5): Tensor =>
  tensor(randomBytes(count * channels * height * width, seed), { shape: [count, channels, height, width] });

function made(config: Partial<Classifier["config"]> = {}): Classifier {
  manualSeed(11);
  return new Classifier({ shape, classes: 3, dimension: 16, width: 8, ...config });
}

describe("the schedule", () => {
  test.each([
    [0, 0],
    [0.05, 0.25],
    [0.2, 1],
    [0.6, 0.5],
    [0.9, 0.125],
    [1, 0],
  ])("at %d of a training the rate is %d of its peak", (progress, wanted) => {
    expect(triangle(progress)).toBeCloseTo(wanted, 12);
  });
});

describe("held-out images", () => {
  const labels = Int32Array.from({ length: 1111 }, (_, i) => (i < 1000 ? i % 4 : i < 1110 ? 7 : 9));

  test("are the same share of each class, and the others are trained on", () => {
    const { training, heldOut } = holdOut(labels, 0.1, 0);
    expect([...training, ...heldOut].sort((a, b) => a - b)).toEqual(Array.from(labels.keys()));
    const counts = (label: number): number => heldOut.filter((i) => labels[i] === label).length;
    // The only image of class 9 is needed in the training.
    expect([0, 1, 2, 3, 7, 9].map(counts)).toEqual([25, 25, 25, 25, 11, 0]);
    expect(holdOut(Int32Array.of(0, 0, 1, 1), 0.1, 0).heldOut).toHaveLength(2);
  });

  test("depend on the seed only", () => {
    expect(holdOut(labels, 0.1, 1)).toEqual(holdOut(labels, 0.1, 1));
    expect(holdOut(labels, 0.1, 1)).not.toEqual(holdOut(labels, 0.1, 2));
  });

  test("are drawn uniformly", () => {
    const drawn = new Float64Array(40);
    for (let seed = 0; seed < 400; seed++) for (const i of holdOut(new Int32Array(40), 0.1, seed).heldOut) drawn[i]!++;
    // Each of 40 images is among the 4 with a probability of 1/10: 40 of 400 times, with a deviation of 6.
    for (const count of drawn) expect(Math.abs(count - 40)).toBeLessThan(5 * 6);
    expect(drawn.reduce((sum, count) => sum + count, 0)).toBe(1600);
  });
});

describe("the loss", () => {
  test("is the cross entropy with a tenth of each label spread over all classes", () => {
    scope(() => {
      const scores = normals([6, 5], 1).mul(2);
      const labels = [4, 0, 3, 3, 1, 2];
      const rows = scores.toArray() as number[][];
      const wanted = rows.map((row, i) => {
        const total = Math.log(row.reduce((sum, score) => sum + Math.exp(score), 0));
        return row.reduce((sum, score, k) => sum - (0.1 / 5 + (k === labels[i] ? 0.9 : 0)) * (score - total), 0);
      });
      const loss = classificationLoss(scores, tensor(labels, { dtype: "int64" })).item();
      expect(loss).toBeCloseTo(wanted.reduce((sum, value) => sum + value, 0) / 6, 12);
    });
  });

  test("has the gradient that differences of it have, through the whole network, in float64", () => {
    const network = made({ shape: { channels: 3, height: 12, width: 10 }, dimension: 6, width: 4 });
    scope(() => {
      const images = normals([3, 3, 12, 10], 2);
      const labels = tensor([2, 0, 1], { dtype: "int64" });
      const lossOf = (): Tensor => classificationLoss(network.forward(images).logits, labels);
      lossOf().backward();
      for (const [name, weight] of network.namedParameters()) {
        const at = Math.floor(weight.numel / 2);
        const one = weight.detach().view([-1]).narrow(0, at, 1);
        const [value, step] = [one.item(), 2 ** -11];
        const sides = [1, -1].map((sign) => {
          noGrad(() => one.fill_(value + sign * step));
          return [one.item(), noGrad(() => lossOf().item())] as const;
        });
        noGrad(() => one.fill_(value));
        const [[right, above], [left, below]] = sides as [readonly [number, number], readonly [number, number]];
        const found = (weight.grad as Tensor).reshape([-1]).narrow(0, at, 1).item();
        expect(Math.abs(found - (above - below) / (right - left)), name).toBeLessThan(2e-6);
      }
    });
    network.dispose();
  });
});

describe("features", () => {
  const features = classifierFeatures(made(), { title: "test", sha256: "" });

  test("have the shapes that the network declares", () => {
    scope(() => {
      const { features: found, logits } = features.extract(bytesOf(5));
      expect([found.shape, found.dtype]).toEqual([[5, features.dimension], "float32"]);
      expect(logits?.shape).toEqual([5, features.classes]);
      expect(found.requiresGrad).toBe(false);
    });
  });

  test("of an image do not depend on its batch", () => {
    scope(() => {
      const images = bytesOf(7);
      const together = features.extract(images);
      for (let i = 0; i < 7; i++) {
        const alone = features.extract(images.narrow(0, i, 1));
        expect(relativeDeviation(alone.features, together.features.narrow(0, i, 1))).toBeLessThan(1e-5);
        expect(relativeDeviation(alone.logits as Tensor, (together.logits as Tensor).narrow(0, i, 1))).toBeLessThan(
          1e-5,
        );
      }
    });
  });

  test("differ between images", () => {
    scope(() => {
      const { features: found } = features.extract(bytesOf(2));
      expect(relativeDeviation(found.narrow(0, 0, 1), found.narrow(0, 1, 1))).toBeGreaterThan(0.01);
    });
  });

  test("of grey images, of a classifier for RGB, are those of three equal channels", () => {
    const rgb = classifierFeatures(made({ shape: { ...shape, channels: 3 } }), { title: "test", sha256: "" });
    scope(() => {
      const grey = bytesOf(3);
      const tripled = rgb.extract(grey.repeat([1, 3, 1, 1]));
      expect(sameBits(rgb.extract(grey).features, tripled.features)).toBe(true);
      expect(() => features.extract(grey.repeat([1, 3, 1, 1]))).toThrow(/images of 8x8x1, .* found 8x8x3;/);
      expect(() => rgb.extract(bytesOf(1, { channels: 3, height: 8, width: 9 }))).toThrow(InputError);
    });
    rgb.dispose();
  });

  test.each([
    [4, 4],
    [5, 9],
    [28, 28],
    [65, 33],
  ])("of images of %ix%i", (height, width) => {
    const network = made({ shape: { channels: 1, height, width }, width: 4 });
    scope(() => expect(network.forward(normals([2, 1, height, width], 3, "float32")).features.shape).toEqual([2, 16]));
    network.dispose();
  });

  test("of images too small to halve: no", () => {
    expect(() => made({ shape: { channels: 1, height: 8, width: 3 } })).toThrow(/at least 4x4 pixels, found 3x8x1/);
  });
});

describe("training", () => {
  test("separates two classes, also of images not seen", () => {
    const others = halves(100, 2);
    expect(countCorrect(trained, bank, all)).toBeGreaterThan(195);
    expect(countCorrect(trained, others, all.subarray(0, 100))).toBeGreaterThan(95);
    others.dispose();
  });

  test("the accuracy is the share of images whose class has the largest score", () => {
    const network = made({ classes: 2 });
    scope(() => {
      const pixels = bank.toValues(bank.rows).view([200, 1, 8, 8]);
      const scores = network.forward(pixels).logits.toArray() as number[][];
      const right = (i: number): boolean => Number((scores[i]?.[1] ?? 0) > (scores[i]?.[0] ?? 0)) === bank.labels?.[i];
      const odd = all.filter((i) => i % 2 === 1);
      expect(countCorrect(network, bank, all)).toBe(Array.from(all).filter(right).length);
      expect(countCorrect(network, bank, odd)).toBe(Array.from(odd).filter(right).length);
    });
    network.dispose();
  });

  test("gives the same bits again, and others with another seed, order of images or mirror images", () => {
    const brief = { ...settings, epochs: 1 };
    const train = (changes: Partial<ClassifierSettings> = {}, indices = all): Classifier =>
      trainClassifier(bank, indices, { ...brief, ...changes }) as Classifier;
    const [one, same, ...others] = [
      train(),
      train(),
      train({ seed: 4 }),
      train({ xflip: true }),
      train({}, all.subarray(1)),
    ] as const;
    const headOf = (network: Classifier): Tensor => network.stateDict().get("head.weight") as Tensor;
    for (const [name, weight] of one.stateDict()) {
      expect(sameBits(weight.detach(), (same.stateDict().get(name) as Tensor).detach()), name).toBe(true);
    }
    for (const other of others) expect(maxDeviation(headOf(one), headOf(other))).toBeGreaterThan(1e-4);
    for (const network of [one, same, ...others]) network.dispose();
  });

  test("reports every step, ends when asked to, and keeps no tensor", () => {
    const seen: number[] = [];
    const before = memory().tensors;
    const stopped = trainClassifier(bank, all, settings, {
      onStep: ({ images, totalImages }) => void seen.push(images, totalImages),
      shouldStop: () => seen.length === 6,
    });
    expect(stopped).toBeUndefined();
    expect(seen).toEqual([20, 1200, 40, 1200, 60, 1200]);
    expect(memory().tensors).toBe(before);
  });

  test("that diverges says so", () => {
    expect(() => trainClassifier(bank, all, { ...settings, lr: 1e38 })).toThrow(/diverged after \d+ images: .*'lr'/);
  });
});

describe("the file", () => {
  test("holds the network to the last bit, and what was said about it", async () => {
    const loaded = await readClassifier(file);
    const own = classifierFeatures(trained, { title: "", sha256: "" });
    scope(() => {
      const images = bytesOf(9);
      const [found, wanted] = [loaded.extract(images), own.extract(images)];
      expect(relativeDeviation(found.features, wanted.features)).toBeLessThan(1e-6);
      expect(relativeDeviation(found.logits as Tensor, wanted.logits as Tensor)).toBeLessThan(1e-6);
    });
    expect(loaded.about).toEqual(about);
    expect(loaded.config).toEqual({ kind: "classifier", ...trained.config });
    expect(loaded.title).toBe("classifier of the 2 classes of halves, accuracy 0.9600 on 50 images (held out)");
    expect([loaded.dimension, loaded.classes, loaded.device, loaded.resize]).toEqual([8, 2, "cpu", "none"]);
    loaded.dispose();
  });

  test("written again from what was read is the same, byte for byte", async () => {
    const copy = join(folder, "copy.safetensors");
    saveClassifier(copy, trained, about);
    expect(readFileSync(copy).equals(readFileSync(file))).toBe(true);
  });

  test("has a hash that changes with any weight", async () => {
    const changed = join(folder, "changed.safetensors");
    const network = trainClassifier(bank, all, { ...settings, epochs: 1 }) as Classifier;
    const hashes: string[] = [];
    for (const by of [0, 1]) {
      noGrad(() => scope(() => void (network.stateDict().get("head.bias") as Tensor).narrow(0, 1, 1).add_(by)));
      saveClassifier(changed, network, about);
      const loaded = await readClassifier(changed);
      hashes.push(loaded.sha256);
      expect(loaded.sha256).toBe(createHash("sha256").update(readFileSync(changed)).digest("hex"));
      loaded.dispose();
    }
    expect(new Set(hashes).size).toBe(2);
    network.dispose();
  });

  test("of another kind, damaged or missing is told in a line", async () => {
    const at = (name: string): string => join(folder, name);
    const golden = fileURLToPath(new URL("./golden/stf-targets.safetensors", import.meta.url));
    writeFileSync(at("words.safetensors"), "no network\n");
    writeFileSync(at("cut.safetensors"), readFileSync(file));
    truncateSync(at("cut.safetensors"), 3000);
    const flipped = readFileSync(file);
    flipped[flipped.length - 5]! ^= 1;
    writeFileSync(at("flipped.safetensors"), flipped);
    for (const [path, says] of [
      [at("nowhere.safetensors"), /there is no classifier for features at/],
      [folder, /is a folder/],
      [golden, /is not a classifier for features, .*stf features train/],
      [at("words.safetensors"), /words/],
      [at("cut.safetensors"), /cut\.safetensors cannot be read: its tensors fill/],
      [at("flipped.safetensors"), /flipped/],
    ] as const) {
      const error = await readClassifier(path).then(
        () => new Error("it was read"),
        (found: Error) => found,
      );
      expect(error instanceof InputError || error instanceof FileFormatError, error.message).toBe(true);
      expect(error.message).toMatch(says);
      expect(error.message).not.toContain("\n");
    }
    expect(() => loadSnapshot(file)).toThrow(/is a classifier for features: name one of the network snapshots/);
    expect([file, golden, folder, at("nowhere.safetensors")].map(isClassifierFile)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });

  test("that declares sizes which its tensors do not have is damaged", async () => {
    const hostile = join(folder, "hostile.safetensors");
    for (const change of [
      { dimension: 1e9 },
      { classes: 1e9 },
      { width: 1e9 },
      { shape: { ...shape, height: -1 } },
      null,
    ]) {
      scope(() => {
        const network = JSON.stringify(change && { kind: "classifier", ...trained.config, ...change });
        const training = JSON.stringify(about);
        saveSafetensors(hostile, trained.stateDict(), { format: "stf-features-1", network, training });
      });
      await expect(readClassifier(hostile)).rejects.toThrow(/does not fit its tensors; it is damaged/);
    }
  });

  test("that says nothing about its training is damaged", async () => {
    const silent = join(folder, "silent.safetensors");
    for (const training of ["{}", "null", '{"data":"x","accuracy":{"images":"many"}}']) {
      const network = JSON.stringify({ kind: "classifier", ...trained.config });
      saveSafetensors(silent, trained.stateDict(), { format: "stf-features-1", network, training });
      await expect(readClassifier(silent)).rejects.toThrow(/its "training" is missing or damaged/);
    }
  });
});

describe("the classifier that comes with the program", () => {
  test("describes grey images of 28x28, and says how accurate it is", async () => {
    const shipped = await shippedFeatures();
    expect(shipped.title).toMatch(
      /^classifier of the 10 classes of .*fashion-mnist.*, accuracy 0\.9[12]\d\d on 10000 images/,
    );
    expect([shipped.dimension, shipped.config.shape]).toEqual([64, { channels: 1, height: 28, width: 28 }]);
    const { correct, images } = shipped.about.accuracy;
    expect([correct > 9100, images, shipped.about.images, shipped.about.seed]).toEqual([true, 10_000, 60_000, 0]);
    scope(() => {
      const { features } = shipped.extract(bytesOf(3, { channels: 1, height: 28, width: 28 }));
      expect(features.isfinite().all().item()).toBe(1);
    });
    shipped.dispose();
  });
});

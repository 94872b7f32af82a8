import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync } from "node:zlib";
import { cat, memory, ones, saveSafetensors, scope, type Tensor, tensor, zeros } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { saveClassifier } from "../src/checkpoints/classifier-file.js";
import { loadFeatureNetwork } from "../src/checkpoints/feature-network-file.js";
import { Classifier } from "../src/features/classifier.js";
import type { FeatureNetwork } from "../src/features/feature-network.js";
import { inceptionNetwork } from "../src/features/inception.js";
import { inceptionShapes } from "../src/features/inception-layers.js";
import { tensorflowResize } from "../src/features/tensorflow-resize.js";
import { madeImages, madeWeights } from "./feature-support.js";
import { golden, relativeDeviation, uniforms } from "./support.js";

const sha256 = "0".repeat(64);
const WIDTH = 1 / 16;
const values = golden("inception-values");
const made = (name: string): Tensor => values.tensors.get(name) as Tensor;

const folder = mkdtempSync(join(tmpdir(), "stf-inception-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A published layout, unpacked. */
function fileOf(name: string): string {
  const path = join(folder, name);
  writeFileSync(path, gunzipSync(readFileSync(fileURLToPath(new URL(`./golden/${name}.gz`, import.meta.url)))));
  return path;
}

/** A network a sixteenth as wide, with the weights of the formulas and some replaced. */
function narrowNetwork(): FeatureNetwork {
  return scope(() => inceptionNetwork(madeWeights(inceptionShapes(WIDTH)), { sha256 }));
}

describe("the resize of TensorFlow", () => {
  /** The definition, in float32, one pixel at a time. */
  function expected(image: Float32Array, [h, w]: [number, number], [height, width]: [number, number]): Float32Array {
    const f = Math.fround;
    const result = new Float32Array(height * width);
    const along = (i: number, size: number, count: number): [number, number, number] => {
      const at = f(i * f(size / count));
      return [Math.floor(at), Math.min(Math.floor(at) + 1, size - 1), f(at - Math.floor(at))];
    };
    const mix = (a: number, b: number, t: number): number => f(a + f(f(b - a) * t));
    for (let y = 0; y < height; y++) {
      const [top, bottom, dy] = along(y, h, height);
      for (let x = 0; x < width; x++) {
        const [left, right, dx] = along(x, w, width);
        const row = (r: number): number => mix(image[r * w + left] as number, image[r * w + right] as number, dx);
        result[y * width + x] = mix(row(top), row(bottom), dy);
      }
    }
    return result;
  }

  test.each([
    [7, 5, 299, 299],
    [32, 32, 299, 299],
    [320, 310, 299, 299],
    [299, 299, 299, 299],
    [1, 1, 4, 3],
    [600, 2, 299, 5],
  ])("%i x %i to %i x %i, bit for bit", (h, w, height, width) => {
    scope(() => {
      const draw = uniforms(3);
      const image = Float32Array.from({ length: h * w }, () => Math.floor(256 * draw()));
      const found = tensorflowResize(tensor(image, { shape: [1, 1, h, w] }), height, width);
      expect(found.shape).toEqual([1, 1, height, width]);
      expect(found.toTypedArray()).toEqual(expected(image, [h, w], [height, width]));
    });
  });

  test("has its first pixel at the first pixel, and repeats the last", () => {
    scope(() => {
      const ramp = tensor(Float32Array.of(0, 1, 2, 3), { shape: [1, 1, 1, 4] });
      const found = tensorflowResize(ramp, 1, 8).toFloat64Array();
      expect([...found]).toEqual([0, 0.5, 1, 1.5, 2, 2.5, 3, 3]);
    });
  });
});

describe("the full network", () => {
  let network: FeatureNetwork;
  let likePytorch: FeatureNetwork;
  beforeAll(() => {
    scope(() => {
      const weights = madeWeights(inceptionShapes());
      network = inceptionNetwork(weights, { sha256 });
      likePytorch = inceptionNetwork(weights, { sha256, resize: "pytorch" });
    });
  }, 120_000);
  afterAll(() => {
    network.dispose();
    likePytorch.dispose();
  });

  /** Folded normalisation rounds elsewhere, and so do the fast convolutions. */
  const TOLERANCE = 3e-6;

  test.each([
    ["colour", 1, 2, 3, 32, 32],
    ["grey", 3, 1, 1, 28, 28],
    ["large", 5, 1, 1, 320, 310],
  ] as const)("PyTorch computes the same for %s images", (name, seed, count, channels, height, width) => {
    scope(() => {
      const { features, logits } = network.extract(madeImages(seed, count, channels, height, width));
      expect([features.shape, logits?.shape]).toEqual([
        [count, 2048],
        [count, 1008],
      ]);
      expect(relativeDeviation(features, made(`${name}_features`))).toBeLessThan(TOLERANCE);
      expect(relativeDeviation(logits as Tensor, made(`${name}_logits`))).toBeLessThan(TOLERANCE);
    });
  });

  test("and with the resize and range of pytorch-fid", () => {
    scope(() => {
      const images = madeImages(4, 1, 3, 40, 24);
      const { features, logits } = likePytorch.extract(images);
      expect(relativeDeviation(features, made("pytorch_features"))).toBeLessThan(TOLERANCE);
      expect(relativeDeviation(logits as Tensor, made("pytorch_logits"))).toBeLessThan(TOLERANCE);
      expect(relativeDeviation(network.extract(images).features, features)).toBeGreaterThan(1e-3);
      expect([network.resize, likePytorch.resize]).toEqual(["tensorflow-bilinear-299", "pytorch-bilinear-299"]);
    });
  });
});

test("has as many numbers as the published files", () => {
  let numbers = 0;
  for (const shape of inceptionShapes().values()) numbers += shape.reduce((product, size) => product * size, 1);
  // pt_inception-2015-12-05-6726825d.pth has 95,628,359 bytes, of which some 200 for each of its tensors are not numbers.
  expect(4 * numbers).toBe(95_541_568);
});

describe("a network", () => {
  test("describes an image without regard to its batch", () => {
    scope(() => {
      const network = narrowNetwork();
      const images = madeImages(7, 35, 3, 12, 12);
      const whole = network.extract(images).features;
      const parts = [images.narrow(0, 0, 1), images.narrow(0, 1, 20), images.narrow(0, 21, 14)];
      const apart = cat(parts.map((part) => network.extract(part).features));
      expect(relativeDeviation(apart, whole)).toBeLessThan(2e-6);
      expect(whole.shape).toEqual([35, 128]);
      network.dispose();
    });
  });

  test("takes grey images as colours", () => {
    scope(() => {
      const network = narrowNetwork();
      const grey = madeImages(8, 3, 1, 20, 20);
      const colours = grey.expand([-1, 3, -1, -1]);
      expect(relativeDeviation(network.extract(grey).features, network.extract(colours).features)).toBe(0);
      network.dispose();
    });
  });

  test("refuses what is not images as bytes", () => {
    scope(() => {
      const network = narrowNetwork();
      const of = (shape: number[], dtype: "uint8" | "float32" = "uint8") => zeros(shape, { dtype });
      for (const wrong of [
        of([1, 2, 8, 8]),
        of([3, 8, 8]),
        of([1, 3, 8, 8], "float32"),
        of([1, 3, 0, 8]),
        of([0, 3, 8, 8]),
      ]) {
        expect(() => network.extract(wrong)).toThrow(/^feature networks describe images as bytes/);
      }
      network.dispose();
    });
  });

  test("leaves nothing behind", () => {
    const before = memory().tensors;
    const network = narrowNetwork();
    scope(() => void network.extract(madeImages(9, 17, 3, 8, 8)));
    network.dispose();
    expect(memory().tensors).toBe(before);
  });
});

describe("files in the published layouts", () => {
  const images = (): Tensor => madeImages(2, 3, 3, 32, 32);

  test.each([
    ["inception-dict.pth", "narrow"],
    ["inception-detector.pkl", "detector"],
    ["inception-program.pt", "detector"],
    // What PyTorch's interpreter returned for the program, with the emulated resize of its own.
    ["inception-program.pt", "program"],
  ])("%s gives the %s features", async (name, expected) => {
    const network = await loadFeatureNetwork(fileOf(name), { width: WIDTH });
    scope(() => {
      const { features, logits } = network.extract(images());
      expect(relativeDeviation(features, made(`${expected}_features`))).toBeLessThan(5e-6);
      if (expected === "program") return;
      expect(relativeDeviation(logits as Tensor, made(`${expected}_logits`))).toBeLessThan(5e-6);
    });
    network.dispose();
  });

  test("a classifier that was trained here is recognised, too", async () => {
    const path = join(folder, "classifier.safetensors");
    const shape = { channels: 1, height: 8, width: 8 };
    const classifier = new Classifier({ shape, classes: 3, dimension: 16, width: 8 });
    const accuracy = { correct: 1, images: 2, from: "held out" };
    const data = { data: "few", dataDigest: sha256, images: 8, classNames: null };
    saveClassifier(path, classifier, { ...data, accuracy, epochs: 1, batch: 4, lr: 0.01, xflip: false, seed: 0 });
    classifier.dispose();
    const network = await loadFeatureNetwork(path);
    expect(network).toMatchObject({ name: "classifier", dimension: 16, classes: 3 });
    network.dispose();
  });

  test("safetensors, and the checksum of the file", async () => {
    const path = join(folder, "converted.safetensors");
    scope(() => saveSafetensors(path, madeWeights(inceptionShapes(WIDTH))));
    const network = await loadFeatureNetwork(path, { width: WIDTH });
    const direct = narrowNetwork();
    scope(() => {
      expect(relativeDeviation(network.extract(images()).features, direct.extract(images()).features)).toBe(0);
    });
    expect(network.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(network).toMatchObject({ name: "inception", dimension: 128, classes: 63, device: "cpu" });
    network.dispose();
    direct.dispose();
  });
});

describe("files that are refused", () => {
  /** A file of the narrow network whose tensors were changed. */
  function changed(name: string, change: (weights: Map<string, Tensor>) => void): string {
    const path = join(folder, name);
    scope(() => {
      const weights = madeWeights(inceptionShapes(WIDTH));
      change(weights);
      saveSafetensors(path, weights);
    });
    return path;
  }

  const refusal = async (path: string, width = WIDTH): Promise<string> => {
    const before = memory().tensors;
    const error = await loadFeatureNetwork(path, { width }).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    expect(memory().tensors).toBe(before);
    expect(error?.message).not.toContain("\n");
    return error?.message ?? "accepted";
  };

  test.each([
    ["lacks.safetensors", (w) => w.delete("Mixed_6c.branch7x7_2.bn.bias"), "it lacks Mixed_6c.branch7x7_2.bn.bias"],
    ["more.safetensors", (w) => w.set("other.weight", ones([1])), "it has also other.weight"],
    [
      "shape.safetensors",
      (w) => w.set("Mixed_7c.branch_pool.bn.bias", zeros([13])),
      'its "Mixed_7c.branch_pool.bn.bias" has the shape [13], expected [12]',
    ],
    [
      "whole.safetensors",
      (w) => w.set("fc.bias", zeros([63], { dtype: "int32" })),
      'its "fc.bias" must hold floating-point numbers, found int32',
    ],
    [
      "infinite.safetensors",
      (w) => w.set("fc.bias", zeros([63]).div(0)),
      'its "fc.bias" has numbers that are not finite; it is damaged',
    ],
    [
      "negative.safetensors",
      (w) => w.set("Conv2d_1a_3x3.bn.running_var", ones([2]).neg()),
      'its "Conv2d_1a_3x3.bn.running_var" has negative variances; it is damaged',
    ],
    ["torchvision.safetensors", (w) => w.set("AuxLogits.fc.bias", zeros([1])), "it is the Inception-v3 of torchvision"],
  ] as [string, (weights: Map<string, Tensor>) => void, string][])("%s", async (name, change, message) => {
    const path = changed(name, change);
    const found = await refusal(path);
    expect(found).toContain(`${path} cannot be used: `);
    expect(found).toContain(message);
  });

  test("a network of another width", async () => {
    expect(await refusal(fileOf("inception-dict.pth"), 1)).toMatch(
      /it is not the Inception network: its "Conv2d_1a_3x3.conv.weight" has the shape \[2, 3, 3, 3\].* and 471 more/,
    );
  });

  test("another network, other files, none", async () => {
    const other = join(folder, "other.safetensors");
    scope(() => saveSafetensors(other, new Map([["layer.weight", zeros([2, 2])]])));
    expect(await refusal(other)).toContain("is not a known feature network: it holds layer.weight");
    const text = join(folder, "text.pth");
    writeFileSync(text, "<!doctype html><title>Not found</title>");
    expect(await refusal(text)).toContain("it is a web page");
    expect(await refusal(folder)).toContain("is not a file");
    expect(await refusal(join(folder, "none.pth"))).toContain("there is no feature network at");
    expect(await refusal("https://example.org/inception.pth")).toContain("must be a file on this machine");
  });

  test("damage that the checksum in the name shows, and truncation", async () => {
    const whole = readFileSync(fileOf("inception-dict.pth"));
    const named = join(folder, "pt_inception-2015-12-05-6726825d.pth");
    writeFileSync(named, whole);
    expect(await refusal(named)).toMatch(/is damaged: by its name its SHA-256 begins with 6726825d, it is [0-9a-f]{8}/);
    const short = join(folder, "short.pth");
    writeFileSync(short, whole.subarray(0, whole.length / 2));
    expect(await refusal(short)).toContain("truncated");
  });
});

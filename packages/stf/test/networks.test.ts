/** Networks against the numbers of the published implementations, closed forms, and finite differences. */

import { arange, grad, type Module, manualSeed, memory, noGrad, rand, scope, type Tensor, tensor } from "@stf/torch";
import { afterAll, describe, expect, test, vi } from "vitest";
import { UsageError } from "../src/common/errors.js";
import { buildDenoiser, type NetworkConfig } from "../src/networks/build.js";
import { checkChannels, groupsFor } from "../src/networks/channels.js";
import { Denoiser } from "../src/networks/denoiser.js";
import { DhariwalUNet } from "../src/networks/dhariwal-unet.js";
import { PositionalEmbedding } from "../src/networks/embedding.js";
import { Mlp } from "../src/networks/mlp.js";
import { type Network, oneHot } from "../src/networks/network.js";
import { Resample, ResamplingConv2d } from "../src/networks/resample.js";
import { SongUNet } from "../src/networks/song-unet.js";
import { type BlockStyle, UNetBlock } from "../src/networks/unet-block.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { vePreconditioning } from "../src/preconditioning/ve.js";
import {
  golden,
  goldenNumbers,
  maxDeviation,
  ncsnpp,
  normals,
  publishedDdpmpp,
  relativeDeviation,
  sameBits,
  stripPrefix,
  tensorsLeft,
} from "./support.js";

describe("a DDPM++ network gives the published numbers", () => {
  const file = golden("edm-ddpmpp");
  const denoiser = publishedDdpmpp(file);
  const x = file.tensors.get("x")!;
  const sigma = goldenNumbers(file, "sigma");
  const augmentLabels = file.tensors.get("augment_labels")!;

  test("under the published names", () => {
    const published = [...file.tensors.keys()].filter((name) => name.startsWith("model."));
    expect(published).toHaveLength(147);
    expect([...denoiser.stateDict().keys()].sort()).toEqual(published.sort());
    expect(denoiser.parameterCount).toBe(183_155);
  });

  test("in float64", () => {
    const output = scope(() => denoiser.forward(x.double(), sigma, { augmentLabels: augmentLabels.double() }));
    expect(output.dtype).toBe("float64");
    const deviation = relativeDeviation(output, goldenNumbers(file, "D_float64"));
    expect(deviation, `deviation ${deviation}`).toBeLessThan(1e-10);
  });

  test("in float32, with and without augmentation labels", () => {
    scope(() => {
      const output = denoiser.forward(x, sigma, { augmentLabels });
      expect(output.dtype).toBe("float32");
      expect(relativeDeviation(output, goldenNumbers(file, "D_float64"))).toBeLessThan(3e-6);
      expect(relativeDeviation(output, goldenNumbers(file, "D"))).toBeLessThan(3e-6);
      const without = goldenNumbers(file, "D_no_augment");
      expect(relativeDeviation(denoiser.forward(x, sigma), without)).toBeLessThan(3e-6);
      expect(relativeDeviation(denoiser.forward(x.double(), sigma), without)).toBeLessThan(3e-6);
      // The labels do something.
      expect(relativeDeviation(goldenNumbers(file, "D"), without)).toBeGreaterThan(1e-2);
    });
  });

  test("with its gradients", () => {
    scope(() => {
      const names = [...file.tensors.keys()].filter((name) => name.startsWith("grad.")).map((name) => name.slice(5));
      const leaf = x.clone().requiresGrad_();
      const parameters = new Map(denoiser.namedParameters());
      const leaves = names.map((name) => (name === "x" ? leaf : parameters.get(name)!));
      const loss = denoiser.forward(leaf, sigma, { augmentLabels }).square().mean();
      expect(loss.item()).toBeCloseTo(goldenNumbers(file, "loss")[0]!, 5);
      const gradients = grad([loss], leaves);
      names.forEach((name, i) => {
        const deviation = relativeDeviation(gradients[i]!, goldenNumbers(file, `grad.${name}`));
        expect(deviation, `${name}: ${deviation}`).toBeLessThan(2e-5);
      });
    });
  });

  test("a sample's output does not depend on the others of its batch", () => {
    scope(() => {
      const both = denoiser.forward(x, sigma);
      const second = denoiser.forward(x.narrow(0, 1, 1), sigma.slice(1));
      expect(relativeDeviation(second, both.narrow(0, 1, 1))).toBeLessThan(3e-6);
    });
  });

  test("bfloat16 activations are close, and the output is float32", () => {
    const half = publishedDdpmpp(file, "bf16");
    scope(() => {
      const output = half.forward(x, sigma, { augmentLabels });
      expect(output.dtype).toBe("float32");
      const deviation = relativeDeviation(output, goldenNumbers(file, "D"));
      expect(deviation, `deviation ${deviation}`).toBeLessThan(3e-2);
      expect(deviation).toBeGreaterThan(1e-4);
    });
    half.dispose();
  });

  test("dropout acts in training only, and follows the seed", () => {
    scope(() => {
      const run = (seed: number): Tensor => {
        manualSeed(seed);
        return denoiser.forward(x, sigma);
      };
      expect(sameBits(run(1), run(2))).toBe(true);
      denoiser.train();
      try {
        expect(sameBits(run(1), run(1))).toBe(true);
        expect(relativeDeviation(run(1), run(2))).toBeGreaterThan(1e-3);
      } finally {
        denoiser.eval();
      }
    });
  });

  test("a forward pass without gradients leaves its output alone", () => {
    expect(tensorsLeft(() => void noGrad(() => denoiser.forward(x, sigma)))).toBe(0);
  });

  afterAll(() => denoiser.dispose());
});

test("an NCSN++ network gives the published numbers", () => {
  const file = golden("ve-ncsnpp");
  const options = { modelChannels: 16, channelMult: [1, 1], numBlocks: 1, attnResolutions: [4], ...ncsnpp };
  const network = new SongUNet({ resolution: 8, inChannels: 3, outChannels: 3, ...options });
  const denoiser = new Denoiser(network, vePreconditioning()).eval();
  const state = new Map([...file.tensors].filter(([name]) => name.startsWith("model.")));
  expect([...denoiser.stateDict().keys()].sort()).toEqual([...state.keys()].sort());
  denoiser.loadStateDict(state);
  scope(() => {
    const x = file.tensors.get("x")!.double().requiresGrad_();
    const output = denoiser.forward(x, goldenNumbers(file, "sigma"));
    const deviation = relativeDeviation(output, goldenNumbers(file, "D_float64"));
    expect(deviation, `deviation ${deviation}`).toBeLessThan(1e-10);
    const [gradient] = grad([output.square().mean()], [x]) as [Tensor];
    expect(relativeDeviation(gradient, goldenNumbers(file, "grad.x"))).toBeLessThan(2e-5);
  });
  denoiser.dispose();
});

const initial = (shape: readonly number[]): Tensor => rand(shape).mul_(0);

const adaptiveStyle: BlockStyle = {
  embeddingChannels: 24,
  dropout: 0,
  skipScale: 1,
  eps: 1e-5,
  filter: [1, 1],
  projectResampledSkip: false,
  adaptiveScale: true,
  init: { main: initial, mainBias: initial, branchEnd: initial, branchEndBias: initial, attention: initial },
};

const additiveStyle: BlockStyle = {
  ...adaptiveStyle,
  skipScale: Math.SQRT1_2,
  eps: 1e-6,
  filter: [1, 3, 3, 1],
  projectResampledSkip: true,
  adaptiveScale: false,
};

describe("blocks with two heads give the published numbers", () => {
  const file = golden("unet-block");

  test.each([
    { name: "adm", style: adaptiveStyle, resampling: "down" },
    { name: "song", style: additiveStyle, resampling: "up" },
  ] as const)("$name", ({ name, style, resampling }) => {
    const block = new UNetBlock(20, 32, style, { resampling, heads: 2 });
    block.loadStateDict(stripPrefix(file.tensors, `${name}.state.`));
    scope(() => {
      const x = file.tensors.get(`${name}.x`)!.clone().requiresGrad_();
      const embedding = file.tensors.get(`${name}.emb`)!.clone().requiresGrad_();
      const output = block.forward(x, embedding);
      expect(relativeDeviation(output, goldenNumbers(file, `${name}.y`))).toBeLessThan(5e-6);
      const parameters = new Map(block.namedParameters());
      const names = ["x", "emb", "qkv.weight", "proj.weight", "conv0.weight", "affine.weight"];
      const leaves = [x, embedding, ...names.slice(2).map((key) => parameters.get(key)!)];
      grad([output.square().mean()], leaves).forEach((gradient, i) => {
        const expected = goldenNumbers(file, `${name}.grad.${names[i]}`);
        expect(relativeDeviation(gradient, expected), names[i]).toBeLessThan(2e-5);
      });
    });
    block.dispose();
  });
});

/** Turns every parameter and buffer into float64, and parameters into normal numbers. */
function randomizeInFloat64(module: Module, seed: number): void {
  noGrad(() => {
    for (const [i, tensor] of module.parameters().entries()) {
      scope(() => tensor.setData(normals(tensor.shape, seed + i).mul(0.3)));
    }
    for (const [, buffer] of module.namedBuffers()) scope(() => buffer.setData(buffer.double()));
  });
}

/**
 * The derivatives of a float64 function, along one random direction for each group of leaves, against central differences.
 */
function checkDirections(f: () => Tensor, groups: ReadonlyMap<string, readonly Tensor[]>): void {
  const step = 1e-5;
  const value = (): Tensor => {
    const output = f();
    // Unequal weights: the sum over a normalised output would be blind to much.
    const weights = arange(1, output.numel + 1, 1, { dtype: "float64" })
      .cos()
      .view(output.shape);
    return output.mul(weights).sum();
  };
  scope(() => {
    const leaves = [...groups.values()].flat();
    const gradients = new Map(grad([value()], leaves).map((gradient, i) => [leaves[i]!, gradient]));
    for (const [name, group] of groups) {
      scope(() => {
        const directions = group.map((leaf, i) => normals(leaf.shape, 900 + i));
        const dot = (other: (leaf: Tensor, i: number) => Tensor): number =>
          group.reduce((sum, leaf, i) => sum + gradients.get(leaf)!.mul(other(leaf, i)).sum().item(), 0);
        const expected = dot((_, i) => directions[i]!);
        const norm = Math.sqrt(dot((leaf) => gradients.get(leaf)!));
        const at = (scale: number): number =>
          noGrad(() => {
            group.forEach((leaf, i) => void leaf.add_(directions[i]!, { alpha: scale }));
            const found = value().item();
            group.forEach((leaf, i) => void leaf.sub_(directions[i]!, { alpha: scale }));
            return found;
          });
        const numeric = (at(step) - at(-step)) / (2 * step);
        const difference = Math.abs(numeric - expected);
        expect(difference, `${name}: ${numeric}, expected ${expected}`).toBeLessThan(1e-7 * norm + 1e-9);
      });
    }
  });
}

/** The parameters of a module, grouped by the first `depth` parts of their names. */
function parameterGroups(module: Module, depth: number): Map<string, Tensor[]> {
  const groups = new Map<string, Tensor[]>();
  for (const [name, parameter] of module.namedParameters()) {
    const key = name.split(".").slice(0, depth).join(".");
    groups.set(key, [...(groups.get(key) ?? []), parameter]);
  }
  return groups;
}

/** Checks the derivatives of a network with three classes and four augmentation labels for all inputs and parameters. */
function checkNetwork(network: Network & Module, shape: readonly number[], seed: number): void {
  randomizeInFloat64(network, seed);
  const x = normals(shape, 3).requiresGrad_();
  const noise = normals([2], 4).requiresGrad_();
  const labels = normals([2, 3], 5).requiresGrad_();
  const augmentLabels = normals([2, 4], 6).requiresGrad_();
  expect(network.forward(x, noise, { labels, augmentLabels }).shape).toEqual(shape);
  const inputs = { x: [x], noise: [noise], labels: [labels], augmentLabels: [augmentLabels] };
  checkDirections(
    () => network.forward(x, noise, { labels, augmentLabels }),
    new Map([...Object.entries(inputs), ...parameterGroups(network, 2)]),
  );
  for (const leaf of [x, noise, labels, augmentLabels]) leaf.dispose();
  network.dispose();
}

describe("gradients agree with finite differences", () => {
  const styles = { adaptive: adaptiveStyle, additive: additiveStyle };
  const cases = (["adaptive", "additive"] as const).flatMap((kind) =>
    ([undefined, "up", "down"] as const).flatMap((resampling) =>
      [
        [1, 1],
        [1, 3, 3, 1],
      ].map((filter) => ({ kind, resampling, filter, heads: filter.length === 2 ? 2 : 0 })),
    ),
  );

  test.each(cases)("$kind block, resampling $resampling, filter $filter, $heads heads", (c) => {
    const style = { ...styles[c.kind], filter: c.filter, embeddingChannels: 5 };
    const block = new UNetBlock(8, 8, style, { resampling: c.resampling, heads: c.heads });
    randomizeInFloat64(block, 40);
    const x = normals([2, 8, 4, 4], 1).requiresGrad_();
    const embedding = normals([2, 5], 2).requiresGrad_();
    checkDirections(
      () => block.forward(x, embedding),
      new Map([["x", [x]], ["embedding", [embedding]], ...parameterGroups(block, 2)]),
    );
    x.dispose();
    embedding.dispose();
    block.dispose();
  });

  test.each([
    { encoderType: "standard", decoderType: "standard" },
    { encoderType: "residual", decoderType: "standard" },
    { encoderType: "skip", decoderType: "skip" },
  ] as const)("network with $encoderType encoder and $decoderType decoder", (kinds) => {
    const network = new SongUNet({
      resolution: 8,
      inChannels: 2,
      outChannels: 2,
      labelDim: 3,
      augmentDim: 4,
      modelChannels: 4,
      channelMult: [1, 2],
      numBlocks: 1,
      attnResolutions: [8],
      dropout: 0,
      resampleFilter: [1, 3, 3, 1],
      ...kinds,
    });
    checkNetwork(network, [2, 2, 8, 8], 70);
  });
});

test.each(["adm", "mlp"] as const)("gradients of %s agree with finite differences", (arch) => {
  const shared = { labelDim: 3, augmentDim: 4 };
  const network =
    arch === "mlp"
      ? new Mlp({ shape: { channels: 2, height: 2, width: 2 }, width: 12, hiddenLayers: 2, ...shared })
      : new DhariwalUNet({
          resolution: 4,
          inChannels: 2,
          outChannels: 2,
          modelChannels: 8,
          channelMult: [1, 8],
          numBlocks: 1,
          attnResolutions: [2],
          dropout: 0,
          ...shared,
        });
  checkNetwork(network, arch === "mlp" ? [2, 2, 2, 2] : [2, 2, 4, 4], 170);
});

describe("adm", () => {
  const config: NetworkConfig = {
    arch: "adm",
    precond: "edm",
    shape: { channels: 3, height: 16, width: 16 },
    modelChannels: 16,
    channelMult: [1, 4],
    numBlocks: 1,
    attnResolutions: [32, 16, 8],
    dropout: 0.1,
    labelDim: 10,
  };

  test("has the published names and sizes; a head of attention for every 64 channels", () => {
    const denoiser = buildDenoiser(config);
    expect(denoiser.stateDict().size).toBe(149);
    expect(denoiser.parameterCount).toBe(642_131);
    const names = [...denoiser.stateDict().keys()];
    expect(names).toContain("model.enc.8x8_block0.qkv.weight");
    expect(names).toContain("model.dec.8x8_block1.qkv.weight");
    expect(names.filter((name) => name.includes("16x16") && name.includes("qkv"))).toEqual([]);
    expect(names).toContain("model.map_label.weight");
    expect(names).not.toContain("model.map_label.bias");
    denoiser.dispose();
  });

  test("starts with an output of nothing but its skip, and labels of unit variance", () => {
    manualSeed(4);
    const denoiser = buildDenoiser(config);
    scope(() => {
      const x = normals([2, 3, 16, 16], 1, "float32");
      const sigma = Float64Array.of(0.3, 4);
      const found = denoiser.forward(x, sigma, { labels: oneHot([1, 7], 10, x) });
      const skip = tensor(
        Float64Array.from(sigma, (level) => 0.25 / (level ** 2 + 0.25)),
        { shape: [2, 1, 1, 1], dtype: "float32" },
      );
      expect(maxDeviation(found, x.mul(skip))).toBeLessThan(1e-6);
      const weights = denoiser.stateDict().get("model.map_label.weight")!;
      expect(Math.abs(weights.square().mean().item() - 1)).toBeLessThan(0.25);
    });
    denoiser.dispose();
  });
});

test.each(["ddpmpp", "adm", "mlp"] as const)("no label is a row of zeros: %s", (arch) => {
  const denoiser = buildDenoiser({
    arch,
    precond: "edm",
    shape: { channels: 1, height: 4, width: 4 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
    labelDim: 3,
  }).eval();
  randomizeInFloat64(denoiser, 8);
  scope(() => {
    const x = normals([2, 1, 4, 4], 1);
    const sigma = Float64Array.of(0.3, 4);
    const none = denoiser.forward(x, sigma);
    expect(maxDeviation(none, denoiser.forward(x, sigma, { labels: oneHot([-1, -1], 3, x) }))).toBe(0);
    expect(maxDeviation(none, denoiser.forward(x, sigma, { labels: oneHot([0, 2], 3, x) }))).toBeGreaterThan(1e-3);
  });
  denoiser.dispose();
});

test("iDDPM doubles the channels of the output and stores its levels", () => {
  const denoiser = buildDenoiser({
    arch: "ddpmpp",
    precond: "iddpm",
    shape: { channels: 1, height: 8, width: 8 },
    modelChannels: 8,
    channelMult: [1],
    numBlocks: 1,
    attnResolutions: [],
    dropout: 0,
  });
  const state = denoiser.stateDict();
  expect(state.get("u")!.shape).toEqual([1001]);
  // The levels that count are the stored ones: another library's sine may have made them.
  const stored = state.get("u")!.toFloat64Array();
  expect(denoiser.preconditioning.levels).toEqual(stored);
  denoiser.loadStateDict(new Map([["u", scope(() => state.get("u")!.mul(1.001))]]), { strict: false });
  expect(
    maxDeviation(
      denoiser.preconditioning.levels!.map((u, i) => u - 1.001 * stored[i]!),
      stored.map(() => 0),
    ),
  ).toBeLessThan(2e-3);
  expect(denoiser.preconditioning.sigmaMax).toBeGreaterThan(stored[0]! * 1.0005);
  // Reading them makes a GPU wait, so it is done when they may have changed, and not again.
  const { preconditioning } = denoiser;
  const reading = vi.spyOn(state.get("u")!, "toFloat64Array");
  scope(() => {
    for (const sigma of [0.1, 3]) denoiser.forward(normals([1, 1, 8, 8], 1, "float32"), Float64Array.of(sigma));
  });
  expect(denoiser.preconditioning).toBe(preconditioning);
  expect(reading).not.toHaveBeenCalled();
  denoiser.loadStateDict(state);
  expect(denoiser.preconditioning).not.toBe(preconditioning);
  expect(reading).toHaveBeenCalledOnce();
  expect(state.get("model.dec.8x8_aux_conv.weight")!.shape).toEqual([2, 8, 3, 3]);
  scope(() => {
    expect(denoiser.forward(normals([2, 1, 8, 8], 1, "float32"), Float64Array.of(0.1, 3)).shape).toEqual([2, 1, 8, 8]);
  });
  denoiser.dispose();
});

describe("sizes that do not fit", () => {
  const config = (height: number, width: number, more: Partial<NetworkConfig> = {}): NetworkConfig => ({
    arch: "ddpmpp",
    precond: "edm",
    shape: { channels: 1, height, width },
    modelChannels: 8,
    channelMult: [1, 2, 2],
    numBlocks: 1,
    attnResolutions: [7],
    dropout: 0,
    ...more,
  });

  function message(body: () => unknown): string {
    try {
      body();
    } catch (error) {
      expect(error).toBeInstanceOf(UsageError);
      return (error as UsageError).message;
    }
    return expect.fail("nothing was thrown");
  }

  test("say what would fit", () => {
    expect(message(() => buildDenoiser(config(28, 32)))).toMatch(/square.*32x28/);
    const indivisible = message(() => buildDenoiser(config(30, 30)));
    expect(indivisible).toMatch(/divisible by 4.*30.*28.*32/);
    expect(indivisible).not.toContain("\n");
    // No image has a size of 0.
    expect(message(() => buildDenoiser(config(2, 2)))).toMatch(/divisible by 4, found 2; the smallest is 4, or/);
    expect(message(() => buildDenoiser(config(28, 28, { modelChannels: 6 })))).toMatch(/'cbase'.*4.*6/);
  });

  test("28 with three resolutions fits, and its attention is at 7", () => {
    const before = memory().tensors;
    const denoiser = buildDenoiser(config(28, 28));
    const names = [...denoiser.stateDict().keys()];
    expect(names).toContain("model.enc.7x7_block0.qkv.weight");
    expect(names).not.toContain("model.enc.14x14_block0.qkv.weight");
    scope(() => {
      const x = normals([2, 1, 28, 28], 1, "float32");
      expect(denoiser.forward(x, Float64Array.of(0.1, 10)).shape).toEqual([2, 1, 28, 28]);
    });
    denoiser.dispose();
    expect(memory().tensors).toBe(before);
  });
});

describe("channels that do not divide into groups", () => {
  const widths = [4, 20, 32, 36, 40, 44, 48, 60, 64].flatMap((modelChannels) =>
    [[1], [1, 2], [2, 1], [1, 1, 3]].map((channelMult) => ({ modelChannels, channelMult, numBlocks: 1 })),
  );
  const isDone = (body: () => void): boolean => {
    try {
      body();
      return true;
    } catch (error) {
      if (!(error instanceof UsageError || error instanceof RangeError)) throw error;
      return false;
    }
  };

  test.each([
    { name: "ddpmpp", Net: SongUNet, startsWide: false },
    { name: "adm", Net: DhariwalUNet, startsWide: true },
  ])("are found before $name is built, and only those", ({ Net, startsWide }) => {
    const rest = { resolution: 4, inChannels: 1, outChannels: 1, attnResolutions: [] };
    const built = widths.map((size) => isDone(() => void new Net({ ...rest, ...size }).dispose()));
    expect(widths.map((size) => isDone(() => checkChannels(size, startsWide)))).toEqual(built);
    expect(new Set(built).size).toBe(2);
  });

  test("are named, with what would do", () => {
    const size = { modelChannels: 48, channelMult: [1, 2, 2], numBlocks: 1 };
    expect(() => checkChannels(size, false)).toThrow(
      /^'cbase' must .* 48 with 'cres=1,2,2' makes layers of 144, which cannot be divided into 32; nearest are 40 and 64, /,
    );
    for (const modelChannels of [40, 64]) checkChannels({ ...size, modelChannels }, false);
    expect(() => checkChannels({ ...size, modelChannels: 6 }, false)).toThrow("a multiple of 4, found 6");
  });
});

describe("parts", () => {
  test("the positional embedding has its published values", () => {
    scope(() => {
      const x = tensor(Float64Array.of(-0.3));
      const withEnd = new PositionalEmbedding(8, { endpoint: true }).forward(x).toFloat64Array();
      const without = new PositionalEmbedding(8).forward(x).toFloat64Array();
      expect(maxDeviation(withEnd.subarray(0, 4), [0.955337, 0.999903, 0.99999982, 1])).toBeLessThan(1e-6);
      expect(maxDeviation(withEnd.subarray(4), [-0.29552, -0.0139243, -6.4633e-4, -3.0e-5])).toBeLessThan(1e-6);
      expect(maxDeviation(without.subarray(0, 2), [0.955337, 0.99955])).toBeLessThan(1e-6);
      expect(maxDeviation(without.subarray(4), [-0.29552, -0.0299955, -0.003, -3.0e-4])).toBeLessThan(1e-6);
    });
  });

  const ramp = (): Tensor => arange(0, 16, 1, { dtype: "float64" }).view([1, 1, 4, 4]);

  test("[1, 3, 3, 1] resamples a ramp to the published values", () => {
    scope(() => {
      const down = new Resample("down", [1, 3, 3, 1]).forward(ramp());
      expect(down.shape).toEqual([1, 1, 2, 2]);
      expect(maxDeviation(down, [2.734375, 3.9375, 7.546875, 8.75])).toBeLessThan(1e-12);
      const up = new Resample("up", [1, 3, 3, 1]).forward(ramp());
      expect(up.shape).toEqual([1, 1, 8, 8]);
      const firstRow = [0, 0.1875, 0.5625, 0.9375, 1.3125, 1.6875, 2.0625, 1.6875];
      expect(maxDeviation(up.select(2, 0), firstRow)).toBeLessThan(1e-12);
    });
  });

  test("[1, 1] takes means of squares and copies into squares", () => {
    scope(() => {
      const down = new Resample("down", [1, 1]).forward(ramp()).toFloat64Array();
      expect(Array.from(down)).toEqual([2.5, 4.5, 10.5, 12.5]);
      const up = new Resample("up", [1, 1]).forward(ramp()).toFloat64Array();
      expect(Array.from(up)).toEqual(
        Array.from({ length: 64 }, (_, i) => 4 * Math.floor(i / 16) + Math.floor((i % 8) / 2)),
      );
    });
  });

  test("a filter of even length sees every channel alone, and the convolution comes after it", () => {
    scope(() => {
      const layer = new ResamplingConv2d(2, 1, 1, { resampling: "down", filter: [1, 3, 3, 1] });
      noGrad(() => {
        layer.weight.copy_(tensor([1, 10]).view([1, 2, 1, 1]));
        layer.bias?.fill_(100);
      });
      const image = ramp().float();
      const twoChannels = image.expand([1, 2, 4, 4]).mul(tensor([1, 2]).view([1, 2, 1, 1]));
      const found = layer.forward(twoChannels);
      expect(
        maxDeviation(
          found,
          [2.734375, 3.9375, 7.546875, 8.75].map((v) => 21 * v + 100),
        ),
      ).toBeLessThan(1e-4);
      layer.dispose();
    });
  });

  test("groups hold at least four channels, and there are at most 32", () => {
    expect([4, 8, 20, 128, 256, 512].map(groupsFor)).toEqual([1, 2, 5, 32, 32, 32]);
  });

  test("EDM's preconditioning", () => {
    const { coefficients, lossWeight } = edmPreconditioning();
    const at1 = coefficients(1);
    expect(at1.skip).toBeCloseTo(0.2, 12);
    expect(at1.out).toBeCloseTo(0.4472136, 7);
    expect(at1.in).toBeCloseTo(0.8944272, 7);
    expect(at1.noise).toBe(0);
    expect(lossWeight(1)).toBeCloseTo(5, 12);
    for (const sigma of [0.002, 0.01, 0.5, 1, 7, 80]) {
      const c = coefficients(sigma);
      expect(lossWeight(sigma) * c.out ** 2).toBeCloseTo(1, 10);
      // The input of the network has variance 1 for data of variance 1/4, and so has its training target.
      expect(c.in ** 2 * (0.25 + sigma ** 2)).toBeCloseTo(1, 10);
      expect((0.25 * (1 - c.skip) ** 2 + c.skip ** 2 * sigma ** 2) / c.out ** 2).toBeCloseTo(1, 10);
    }
    const wide = edmPreconditioning({ sigmaData: 2 });
    expect(wide.lossWeight(3) * wide.coefficients(3).out ** 2).toBeCloseTo(1, 12);
  });
});

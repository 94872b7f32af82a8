/** The published networks at full size: their parameters, names, shapes and initial weights. Counted, never run. */

import { manualSeed, rand, randn, scope, type Tensor } from "@stf/torch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Denoiser } from "../src/networks/denoiser.js";
import { SongUNet, type SongUNetOptions } from "../src/networks/song-unet.js";
import { edmPreconditioning } from "../src/preconditioning/edm.js";
import { ddpmpp, ncsnpp, relativeDeviation, sameBits } from "./support.js";

describe.each([
  {
    arch: "ddpmpp",
    options: ddpmpp,
    count: 55_733_891,
    perLabel: 128,
    entries: 425,
    buffers: 32,
    layer0: [512, 128],
    filter: [1, 1, 2, 2],
  },
  {
    arch: "ncsnpp",
    options: ncsnpp,
    count: 56_397_827,
    perLabel: 256,
    entries: 432,
    buffers: 288,
    layer0: [512, 256],
    filter: [1, 1, 4, 4],
  },
])(
  "$arch at full size, CIFAR-10 with augmentation",
  ({ arch, options, count, perLabel, entries, buffers, layer0, filter }) => {
    const full: SongUNetOptions = {
      resolution: 32,
      inChannels: 3,
      outChannels: 3,
      augmentDim: 9,
      modelChannels: 128,
      channelMult: [2, 2, 2],
      numBlocks: 4,
      attnResolutions: [16],
      ...options,
    };
    let denoiser: Denoiser;
    let state: Map<string, Tensor>;
    beforeAll(() => {
      manualSeed(20);
      denoiser = new Denoiser(new SongUNet(full), edmPreconditioning());
      state = denoiser.stateDict();
    });
    afterAll(() => denoiser.dispose());
    const elements = (prefix: string): number =>
      [...denoiser.namedParameters()].reduce((sum, [name, p]) => sum + (name.startsWith(prefix) ? p.numel : 0), 0);

    test("has the published number of parameters, buffers and entries", () => {
      expect(denoiser.parameterCount).toBe(count);
      expect(state.size).toBe(entries);
      expect([...denoiser.namedBuffers()].reduce((sum, [, buffer]) => sum + buffer.numel, 0)).toBe(buffers);
      expect(denoiser.parameters()).toHaveLength(arch === "ddpmpp" ? 417 : 421);
      // Without augmentation the one map is missing: 55,732,739 and 56,395,523.
      expect(elements("model.map_augment")).toBe(9 * perLabel);
    });

    test("has the published shapes", () => {
      const block = "model.enc.32x32_block0";
      const table: Record<string, readonly number[]> = {
        "model.map_augment.weight": [perLabel, 9],
        "model.map_layer0.weight": layer0,
        "model.map_layer0.bias": [512],
        "model.map_layer1.weight": [512, 512],
        "model.enc.32x32_conv.weight": [128, 3, 3, 3],
        [`${block}.norm0.weight`]: [128],
        [`${block}.conv0.weight`]: [256, 128, 3, 3],
        [`${block}.affine.weight`]: [256, 512],
        [`${block}.norm1.bias`]: [256],
        [`${block}.conv1.weight`]: [256, 256, 3, 3],
        [`${block}.skip.weight`]: [256, 128, 1, 1],
        "model.enc.16x16_down.conv0.resample_filter": filter,
        "model.enc.16x16_down.skip.resample_filter": filter,
        "model.enc.16x16_block0.norm2.weight": [256],
        "model.enc.16x16_block0.qkv.weight": [768, 256, 1, 1],
        "model.enc.16x16_block0.qkv.bias": [768],
        "model.enc.16x16_block0.proj.weight": [256, 256, 1, 1],
        "model.dec.8x8_block0.conv0.weight": [256, 512, 3, 3],
        "model.dec.16x16_up.conv0.resample_filter": filter,
        "model.dec.32x32_block4.skip.weight": [256, 384, 1, 1],
        "model.dec.32x32_aux_norm.weight": [256],
        "model.dec.32x32_aux_conv.weight": [3, 256, 3, 3],
        ...(arch === "ncsnpp" && {
          "model.map_noise.freqs": [128],
          "model.enc.16x16_aux_residual.weight": [256, 3, 3, 3],
          "model.enc.16x16_aux_residual.resample_filter": [1, 1, 4, 4],
          "model.enc.8x8_aux_residual.weight": [256, 256, 3, 3],
        }),
      };
      expect(Object.fromEntries(Object.keys(table).map((name) => [name, state.get(name)?.shape]))).toEqual(table);
      expect(state.has("model.enc.32x32_block1.skip.weight")).toBe(false);
      expect(state.has("model.enc.32x32_block0.qkv.weight")).toBe(false);
    });

    test("has the published number of parameters in every part", () => {
      const parts: [string, number][] = [
        ["enc.32x32_conv", 3584],
        ["enc.32x32_block0", 1_050_368],
        ["enc.32x32_block3", 1_312_512],
        ["enc.16x16_down", 1_378_304],
        ["enc.16x16_aux_residual", arch === "ncsnpp" ? 7168 : 0],
        ["enc.16x16_block0", 1_576_192],
        ["enc.16x16_block3", 1_576_192],
        ["enc.8x8_down", 1_378_304],
        ["enc.8x8_aux_residual", arch === "ncsnpp" ? 590_080 : 0],
        ["enc.8x8_block2", 1_312_512],
        ["dec.8x8_in0", 1_576_192],
        ["dec.8x8_in1", 1_312_512],
        ["dec.8x8_block4", 2_034_176],
        ["dec.16x16_up", 1_378_304],
        ["dec.16x16_block3", 2_034_176],
        ["dec.16x16_block4", 2_297_856],
        ["dec.32x32_up", 1_378_304],
        ["dec.32x32_block3", 2_034_176],
        ["dec.32x32_block4", 1_706_240],
        ["dec.32x32_aux_norm", 512],
        ["dec.32x32_aux_conv", 6915],
      ];
      expect(parts.map(([name]) => [name, elements(`model.${name}.`)])).toEqual(parts);
    });

    test("class labels add a map of their own", () => {
      const small = { ...full, modelChannels: 16, numBlocks: 1 };
      const [without, withLabels] = [0, 10].map((labelDim) => new SongUNet({ ...small, labelDim }));
      const width = 16 * options.channelMultNoise;
      expect(withLabels!.parameterCount - without!.parameterCount).toBe(width * 10 + width);
      expect(withLabels!.stateDict().get("map_label.weight")?.shape).toEqual([width, 10]);
      expect(withLabels!.stateDict().get("map_label.bias")?.shape).toEqual([width]);
      without!.dispose();
      withLabels!.dispose();
    });

    /** Largest magnitude and root mean square. */
    function spread(name: string): { largest: number; rms: number; count: number } {
      return scope(() => {
        const value = state.get(name)!.detach();
        return {
          largest: value.abs().amax().item(),
          rms: Math.sqrt(value.double().square().mean().item()),
          count: value.numel,
        };
      });
    }

    test("starts from the published distributions", () => {
      // Uniform on [-bound, bound] with bound = gain sqrt(6 / (fan in + fan out)).
      const uniformWeights: [name: string, fanIn: number, fanOut: number, gain: number][] = [
        ["model.map_augment.weight", 9, perLabel, 1],
        ["model.map_layer0.weight", layer0[1]!, 512, 1],
        ["model.map_layer1.weight", 512, 512, 1],
        ["model.enc.32x32_conv.weight", 27, 1152, 1],
        ["model.enc.32x32_block0.conv0.weight", 1152, 2304, 1],
        ["model.enc.32x32_block0.affine.weight", 512, 256, 1],
        ["model.enc.32x32_block0.skip.weight", 128, 256, 1],
        ["model.enc.16x16_down.conv0.weight", 2304, 2304, 1],
        ["model.enc.32x32_block0.conv1.weight", 2304, 2304, 1e-5],
        ["model.enc.16x16_block0.proj.weight", 256, 256, 1e-5],
        ["model.dec.32x32_aux_conv.weight", 2304, 27, 1e-5],
        ["model.enc.16x16_block0.qkv.weight", 256, 768, Math.sqrt(0.2)],
        ...(arch === "ncsnpp"
          ? ([["model.enc.8x8_aux_residual.weight", 2304, 2304, 1]] as [string, number, number, number][])
          : []),
      ];
      for (const [name, fanIn, fanOut, gain] of uniformWeights) {
        const bound = gain * Math.sqrt(6 / (fanIn + fanOut));
        const { largest, rms, count: n } = spread(name);
        expect(largest, name).toBeLessThanOrEqual(bound * (1 + 1e-6));
        expect(largest, name).toBeGreaterThan(bound * (1 - 20 / n));
        // The mean square is bound² / 3 with standard error bound² sqrt(4 / (45 n)).
        expect(Math.abs((rms / bound) ** 2 - 1 / 3), name).toBeLessThan(4 * Math.sqrt(4 / (45 * n)));
      }
      for (const [name, value] of denoiser.namedParameters()) {
        if (/norm\d?\.weight$/.test(name))
          expect(
            value.toFloat32Array().every((w) => w === 1),
            name,
          ).toBe(true);
        else if (name.endsWith(".bias"))
          expect(
            value.toFloat32Array().every((w) => w === 0),
            name,
          ).toBe(true);
      }
      for (const [name, value] of denoiser.namedBuffers()) {
        if (name.endsWith("freqs")) {
          const n = value.numel;
          expect(Math.abs((spread(name).rms / 16) ** 2 - 1)).toBeLessThan(4 * Math.sqrt(2 / n));
        } else expect(value.sum().item(), name).toBe(1);
      }
    });

    test("draws its weights in the published order", () => {
      // Weight, then bias, layer by layer; normalisations draw nothing. A stem and what precedes it is enough to notice.
      manualSeed(20);
      const published = ["map_augment", "map_layer0", "map_layer1", "enc.32x32_conv", "enc.32x32_block0.conv0"];
      scope(() => {
        if (arch === "ncsnpp") {
          // The frequencies come first, from the normal distribution.
          expect(sameBits(state.get("model.map_noise.freqs")!, randn([128]).mul(16))).toBe(true);
        }
        for (const layer of published) {
          const weight = state.get(`model.${layer}.weight`)!;
          const area = weight.numel / (weight.size(0) * weight.size(1));
          const bound = Math.sqrt(6 / (area * (weight.size(0) + weight.size(1))));
          const drawn = rand(weight.shape).mul(2).sub(1).mul(bound);
          expect(relativeDeviation(weight, drawn), layer).toBeLessThan(1e-6);
          const bias = state.get(`model.${layer}.bias`);
          if (bias) rand(bias.shape);
        }
      });
    });
  },
);

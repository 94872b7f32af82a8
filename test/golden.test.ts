/** `npm run golden` reads everything from the files: others, with constants of their own, agree as far as they are right. */

import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { Generator, randint, randn, scope, setThreads, stack, type Tensor } from "@stf/torch";
import { type Denoiser, denoiseWith, heun, oneHot, readCheckpoint, SeededNoise, timeSteps } from "stf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GoldenFolder, networkContent, networkOf, normals, numbers, publishedFile, scoped } from "./golden-files.js";

setThreads(1);

let folder: GoldenFolder;
beforeAll(() => {
  folder = new GoldenFolder();
});
afterAll(() => folder.dispose());

const song = {
  model_type: "SongUNet",
  img_resolution: 4,
  img_channels: 1,
  model_channels: 8,
  channel_mult: [1],
  num_blocks: 1,
  attn_resolutions: [4],
};
const edm = { ...song, cls: "EDMPrecond", label_dim: 3, augment_dim: 2, sigma_data: 0.7 };
const vp = { ...song, cls: "VPPrecond", beta_d: 12, beta_min: 0.3, M: 500, epsilon_t: 1e-3 };
const iddpm = { ...song, cls: "iDDPMPrecond", M: 40, C_1: 0.01, C_2: 0.02 };
const IMAGES = [2, 1, 4, 4];

test.each([
  ["05_stf_targets", "stf-targets", "duplicates.target_float64", ["duplicates: target"]],
  ["08_augment", "augmentation", "aniso.out", ["aniso: images", "aniso: in float64"]],
  ["13_trajectory_stf", "trajectory-stf", "chk_ema.model.map_layer0.bias", ["chk_ema.model.map_layer0.bias"]],
])("%s: published numbers agree, and a wrong one is told", (name, source, key, expected) => {
  copyFileSync(publishedFile(`${source}.safetensors`), join(folder.path, `${name}.safetensors`));
  expect(folder.failures(`${name}.safetensors`)).toEqual([]);
  scope(() => {
    const { tensors } = readCheckpoint(publishedFile(`${source}.safetensors`));
    folder.change(`${name}.safetensors`, { [key]: (tensors.get(key) as Tensor).add(0.01) });
    for (const tensor of tensors.values()) tensor.dispose();
  });
  expect(folder.failures(`${name}.safetensors`)).toEqual(expect.arrayContaining(expected));
});

/** The network of file 01, which others were made with. */
function writeNetwork(): Denoiser {
  const denoiser = networkOf(edm, 1);
  folder.write("01_edm.safetensors", networkContent(denoiser, IMAGES, 4), { config: edm });
  return denoiser;
}

describe("networks and what is drawn with them", () => {
  test(
    "an output leaves out the labels that its name says, and no others",
    scoped(() => {
      const name = "01_edm.safetensors";
      const denoiser = networkOf(edm, 1);
      const labels = oneHot([2, 0], 3, normals([1], 2));
      const augmentLabels = normals([2, 2], 3);
      const content = networkContent(denoiser, IMAGES, 4, { labels, augmentLabels });
      const sigma = (content["sigma"] as Tensor).toFloat64Array();
      const x = content["x"] as Tensor;
      const outputs = {
        D_no_augment: denoiser.forward(x, sigma, { labels }),
        D_no_class: denoiser.forward(x, sigma, { augmentLabels }),
      };
      // Python's infinity is among the published arguments.
      folder.write(name, { ...content, ...outputs }, { config: { ...edm, sigma_max: Number.POSITIVE_INFINITY } });
      expect(folder.failures(name)).toEqual([]);
      folder.change(name, { D_no_class: denoiser.forward(x, sigma) });
      expect(folder.failures(name)).toEqual(["D_no_class"]);
      folder.change(name, outputs, { config: { ...edm, sigma_data: 0.5 } });
      expect(folder.failures(name)).toContain("output");
      denoiser.dispose();
    }),
  );

  test(
    "the times of the variance-preserving process have the file's betas",
    scoped(() => {
      const name = "04_vp_precond.safetensors";
      const denoiser = networkOf(vp, 5);
      const sigmaOf = (t: number): number => Math.sqrt(Math.expm1(6 * t ** 2 + 0.3 * t));
      const times = Array.from({ length: 9 }, (_, i) => Math.fround((i + 1) / 9));
      const levels = times.map(sigmaOf);
      const content = {
        ...networkContent(denoiser, IMAGES, 6),
        "grid.t": times,
        "grid.t32": times,
        "grid.sigma_of_t": levels,
        "grid.sigma_of_t32": levels,
        "grid.sigma": levels,
        "grid.sigma32": levels,
        "grid.sigma_inv": times,
        "grid.sigma_inv32": times,
        "grid.round_sigma": levels,
        sigma_range: [sigmaOf(1e-3), sigmaOf(1)],
      };
      folder.write(name, content, { config: vp });
      expect(folder.failures(name)).toEqual([]);
      folder.change(name, {}, { config: { ...vp, beta_d: 19.9 } });
      expect(folder.failures(name)).toEqual(expect.arrayContaining(["output", "range of noise levels", "sigma(t)"]));
      denoiser.dispose();
    }),
  );

  test(
    "a chain has the file's length, and the times of each run tell its number of steps",
    scoped(() => {
      const [name, sampler] = ["04_iddpm_precond.safetensors", "07_ablation_sampler.safetensors"] as const;
      const alphaBar = (j: number): number => Math.sin(((Math.PI / 2) * j) / 40 / 1.02) ** 2;
      const levels = new Array<number>(41).fill(0);
      for (let j = 40; j > 0; j--) {
        const ratio = Math.max(alphaBar(j - 1) / alphaBar(j), 0.01);
        levels[j - 1] = Math.sqrt(((levels[j] as number) ** 2 + 1) / ratio - 1);
      }
      const u = levels.map(Math.fround);
      const nearest = (sigma: number): number => {
        const distances = u.map((level) => Math.abs(level - sigma));
        return distances.indexOf(Math.min(...distances));
      };
      const denoiser = networkOf(iddpm, 7);
      denoiser.loadStateDict(new Map([...denoiser.stateDict(), ["u", numbers(u).float()]]));
      const grid = [0.01, 0.7, 3.3, 90].map(Math.fround);
      const rounded = grid.map((sigma) => u[nearest(sigma)] as number);
      const content = {
        ...networkContent(denoiser, IMAGES, 8),
        "grid.sigma": grid,
        "grid.exact_index": grid.map(nearest),
        "grid.round_index": grid.map(nearest),
        "grid.round_sigma": rounded,
        alpha_bar_every_8: [0, 8, 16, 24, 32, 40].map(alphaBar),
        sigma_range: [u[39] as number, u[0] as number],
      };
      folder.write(name, content, { config: iddpm });
      expect(folder.failures(name)).toEqual([]);

      // EDM's schedule, with the levels that the network knows; the other run of this network takes more steps.
      const [first, last] = [80 ** (1 / 7), (u[39] as number) ** (1 / 7)];
      const times = [0, 1 / 3, 2 / 3, 1].map((share) => u[nearest((first + share * (last - first)) ** 7)] as number);
      const latents = normals(IMAGES, 9);
      const start = latents.double().mul(times[0] as number);
      const images = heun.sample(denoiseWith(denoiser), start, timeSteps(times));
      // The discretization and the schedule of the variance-preserving process with constants of the file.
      const placed = [0, 1, 2, 3, 4].map((i) => 1 + (i / 4) * (0.002 - 1));
      writeNetwork().dispose();
      const run = { num_steps: 6, solver: "heun", discretization: "iddpm", schedule: "linear", scaling: "none" };
      folder.write(
        sampler,
        {
          latents,
          wrapper_latents: latents,
          "wrapper.iddpm_in_edm_sampler.t_steps": [...times, 0],
          "wrapper.iddpm_in_edm_sampler.images": images,
          "vp_betas.vp": [12, 0.3],
          "sigma_steps.vp": placed.map((t) => Math.sqrt(Math.expm1(6 * t ** 2 + 0.3 * t))),
          "t_steps.vp.vp": [...placed, 0],
        },
        { steps: 5, extra: {}, wrapper: { iddpm: run }, defaults: { num_steps: 18, epsilon_s: 0.002 } },
      );
      expect(folder.failures(sampler)).toEqual([]);
      folder.change(sampler, { "wrapper.iddpm_in_edm_sampler.images": images.add(0.01) });
      expect(folder.failures(sampler)).toEqual(["wrapper.iddpm_in_edm_sampler.images"]);
      folder.change(sampler, { "wrapper.iddpm_in_edm_sampler.images": images, "vp_betas.vp": [19.9, 0.1] });
      expect(folder.failures(sampler)).toEqual(["sigma_steps.vp"]);
      folder.change(sampler, { "vp_betas.vp": [12, 0.3] }, { defaults: { num_steps: 18 } });
      expect(folder.failures(sampler)).toEqual(expect.arrayContaining(["sigma_steps.vp", "t_steps.vp.vp"]));
      denoiser.dispose();
    }),
  );

  test(
    "losses have the file's noise levels and weights",
    scoped(() => {
      const name = "06_losses.safetensors";
      const config = {
        EDM: { P_mean: -0.5, P_std: 0.9, sigma_data: 0.6 },
        VE: { sigma_min: 0.1, sigma_max: 20 },
        VP: { beta_d: 9, beta_min: 0.4, epsilon_t: 0.01 },
      };
      const denoiser = writeNetwork();
      const images = normals(IMAGES, 11);
      const draws = [0.3, 0.8];
      const laws = {
        edm: (z: number) => Math.exp(-0.5 + 0.9 * z),
        ve: (u: number) => 0.1 * 200 ** u,
        vp: (u: number) => Math.sqrt(Math.expm1(4.5 * (1 - 0.99 * u) ** 2 + 0.4 * (1 - 0.99 * u))),
      };
      const cases = Object.entries(laws).flatMap(([key, law]) => {
        const sigma = draws.map(law);
        const weights = sigma.map((level) => (key === "edm" ? 1 / 0.36 : 0) + level ** -2);
        const noise = normals(IMAGES, 12);
        const noisy = images.double().add(noise.double().mul(numbers(sigma, [2, 1, 1, 1])));
        const output = denoiser.forward(noisy.float(), Float64Array.from(sigma));
        const exact = denoiser.forward(noisy, Float64Array.from(sigma));
        const loss = output
          .double()
          .sub(images)
          .square()
          .mul(numbers(weights, [2, 1, 1, 1]));
        const lossInFloat64 = exact
          .sub(images)
          .square()
          .mul(numbers(weights, [2, 1, 1, 1]));
        return Object.entries({
          [key === "edm" ? "rnd_normal" : "rnd_uniform"]: draws,
          noise,
          sigma,
          weight: weights,
          D: output,
          loss,
          loss_sum: loss.sum(),
          loss_float64: lossInFloat64,
        }).map(([what, value]) => [`${key}.${what}`, value] as const);
      });
      folder.write(name, { images, ...Object.fromEntries(cases) }, { config });
      expect(folder.failures(name)).toEqual([]);
      folder.change(name, {}, { config: {} });
      const wrong = ["edm: noise level", "edm: weight", "vp: noise level", "ve: noise level"];
      expect(folder.failures(name)).toEqual(expect.arrayContaining(wrong));
      denoiser.dispose();
    }),
  );
});

test(
  "random numbers are drawn as the names say",
  scoped(() => {
    const name = "09_rng.safetensors";
    const mixed = Array.from({ length: 11 }, (_, i) => i);
    using generator = new Generator(31);
    const content = Object.fromEntries(mixed.map((i) => [`s31.mix_${i}_randn_3`, randn([3], { generator })] as const));
    using another = new Generator(31);
    const noise = new SeededNoise([8, 9]);
    const [latents, classes] = [noise.draw([1, 3, 3], "float32"), noise.integers(4)];
    const after = noise.draw([1, 3, 3], "float64");
    noise.dispose();
    const small = [8, 9].map((seed) => {
      using own = new Generator(seed);
      return [randn([2], { generator: own }), randn([2], { generator: own, dtype: "float64" })] as const;
    });
    folder.write(
      name,
      {
        ...content,
        "s31.randint_minus9_to_minus2_6": randint(-9, -2, [6], { generator: another }).double(),
        "stacked.latents": latents,
        "stacked.classes_after_latents": classes,
        "stacked.follow_after_classes_float64": after,
        "stacked.small_latents": stack(small.map(([first]) => first)),
        "stacked.small_follow_float64": stack(small.map(([, second]) => second)),
      },
      { stacked_seeds: [8, 9], stacked_classes: 4 },
    );
    expect(folder.failures(name)).toEqual([]);
    folder.change(name, { "s31.mix_10_randn_3": (content["s31.mix_10_randn_3"] as Tensor).add(1e-4) });
    expect(folder.failures(name)).toEqual(["s31.mix_10_randn_3"]);
  }),
);

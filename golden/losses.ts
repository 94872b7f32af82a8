/** Losses with and without stable targets. */

import { noGrad, scope, type Tensor, tensor } from "@stf/torch";
import {
  edmPreconditioning,
  type Preconditioning,
  vePreconditioning,
  veProcess,
  vpPreconditioning,
  vpProcess,
  weightedSquaredError,
} from "stf";
import type { GoldenFile } from "./golden-file.js";
import { betasOf, conditionsOf, denoiserBeside, given, numberOfNetwork, type Place } from "./published-network.js";
import { stableTarget, TARGET_TOLERANCE } from "./targets.js";

/** The constants of all losses under their published names. What is left out has its published default. */
interface PublishedConstants {
  readonly P_mean?: number;
  readonly P_std?: number;
  readonly sigma_data?: number;
  readonly beta_d?: number;
  readonly beta_min?: number;
  readonly epsilon_t?: number;
  readonly sigma_min?: number;
  readonly sigma_max?: number;
}

/** The law of the noise level, from the stored draw, and the weight. */
interface Law {
  readonly draw: "rnd_normal" | "rnd_uniform";
  readonly sigma: (draw: number) => number;
  readonly preconditioning: Preconditioning;
}

const laws: Readonly<Record<string, (constants: PublishedConstants) => Law>> = {
  EDM({ P_mean = -1.2, P_std = 1.2, sigma_data }) {
    const sigma = (z: number): number => Math.exp(P_mean + P_std * z);
    return { draw: "rnd_normal", sigma, preconditioning: edmPreconditioning(given({ sigmaData: sigma_data })) };
  },
  VP({ epsilon_t = 1e-5, ...constants }) {
    const betas = betasOf(constants);
    const process = vpProcess(betas);
    const sigma = (u: number): number => process.sigma(1 + u * (epsilon_t - 1));
    return { draw: "rnd_uniform", sigma, preconditioning: vpPreconditioning(betas) };
  },
  VE({ sigma_min = 0.02, sigma_max = 100 }) {
    const range = { sigmaMin: sigma_min, sigmaMax: sigma_max };
    return { draw: "rnd_uniform", sigma: veProcess(range).sigma, preconditioning: vePreconditioning(range) };
  },
};

/** The law of a case, by a part of its name: EDM's where there is none. */
function lawOf(file: GoldenFile, name: string): Law {
  const key =
    name
      .toUpperCase()
      .split("_")
      .find((part) => part in laws) ?? "EDM";
  const constants = file.metadataOr<Record<string, PublishedConstants>>("config", {});
  return (laws[key] as (typeof laws)[string])({ ...constants[key], ...constants[name] });
}

/** Losses with the network of another file of the same folder, as the configuration says. */
export function checkLosses(file: GoldenFile, place: Place): void {
  const denoiser = denoiserBeside(place, numberOfNetwork(file));
  const images = file.tensor("images");
  const cases = file.names.filter((name) => name.endsWith(".loss")).map((name) => name.slice(0, -".loss".length));
  for (const name of cases) {
    noGrad(() =>
      scope(() => {
        const law = lawOf(file, name);
        const expected = file.numbers(`${name}.sigma`);
        const drawn = `${name}.${law.draw}`;
        if (file.has(drawn)) {
          const levels = file.numbers(drawn).map(law.sigma);
          // In float32, VP's smallest levels lose what is small against 1.
          const scaleOf = (level: number): number => level + 0.01 / level;
          file.compareEach(`${name}: noise level`, levels, expected, 1e-5, scaleOf);
        }
        const weights = expected.map(law.preconditioning.lossWeight);
        file.compare(`${name}: weight`, weights, file.tensor(`${name}.weight`), 1e-5);
        const column = (values: Float64Array): Tensor => tensor(values, { shape: [values.length, 1, 1, 1] });
        const noisy = images.double().add(file.tensor(`${name}.noise`).double().mul(column(expected)));
        const output = denoiser.forward(noisy.float(), expected, conditionsOf(file));
        file.compare(`${name}: output`, output, file.tensor(`${name}.D`), 1e-5);
        const isStable = file.has(`${name}.target`);
        const target = isStable ? stableTarget(file.tensor("references"), noisy, expected) : images;
        if (isStable) {
          file.compare(`${name}: target`, target, file.tensor(`${name}.target_float64`), TARGET_TOLERANCE);
          file.compare(`${name}: target in float32`, target, file.tensor(`${name}.target`), 5 * TARGET_TOLERANCE);
        }
        const lossOf = weightedSquaredError(law.preconditioning);
        const loss = lossOf(output, target, expected);
        file.compare(`${name}: loss`, loss, file.tensor(`${name}.loss`), 2e-5);
        file.compare(`${name}: sum of the loss`, loss.double().sum(), file.tensor(`${name}.loss_sum`), 1e-5);
        const inFloat64 = denoiser.forward(noisy, expected, conditionsOf(file, "float64"));
        const exact = lossOf(inFloat64, target.double(), expected);
        // The noisy image and the stable target are float32 numbers in between.
        file.compare(`${name}: loss in float64`, exact, file.tensor(`${name}.loss_float64`), 2e-5);
      }),
    );
  }
  denoiser.dispose();
}

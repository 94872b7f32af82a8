/** Losses with and without stable targets. */

import { noGrad, scope } from "@stf/torch";
import { column, type Preconditioning, type Process, weightedSquaredError } from "stf";
import type { GoldenFile } from "./golden-file.js";
import { conditionsOf, denoiserBeside, numberOfNetwork, type Place, preconditioningOf } from "./published-network.js";
import { stableTarget, TARGET_TOLERANCE } from "./targets.js";

/** The constants of all losses under their published names. Missing ones have their published defaults. */
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

/** The random numbers that a loss draws, and the noise levels computed from them. */
interface Draw {
  readonly name: "rnd_normal" | "rnd_uniform";
  readonly sigma: (drawn: number) => number;
}

const draws: Readonly<Record<string, (constants: PublishedConstants, process: Process) => Draw>> = {
  EDM: ({ P_mean = -1.2, P_std = 1.2 }) => ({ name: "rnd_normal", sigma: (z) => Math.exp(P_mean + P_std * z) }),
  VP: ({ epsilon_t = 1e-5 }, { sigma }) => ({ name: "rnd_uniform", sigma: (u) => sigma(1 + u * (epsilon_t - 1)) }),
  VE: (_, { sigma }) => ({ name: "rnd_uniform", sigma }),
};

/** A case's preconditioning and draw, by a part of its name; EDM's by default. */
function lossOf(file: GoldenFile, name: string): { preconditioning: Preconditioning; draw: Draw } {
  const key =
    name
      .toUpperCase()
      .split("_")
      .find((part) => part in draws) ?? "EDM";
  const all = file.metadataOr<Record<string, PublishedConstants>>("config", {});
  const constants = { ...all[key], ...all[name] };
  const preconditioning = preconditioningOf({ ...constants, cls: `${key}Precond` });
  return { preconditioning, draw: (draws[key] as (typeof draws)[string])(constants, preconditioning.process) };
}

/** Losses with the network of another file of the same folder, as the configuration says. */
export function checkLosses(file: GoldenFile, place: Place): void {
  const denoiser = denoiserBeside(place, numberOfNetwork(file));
  const images = file.tensor("images");
  const cases = file.names.filter((name) => name.endsWith(".loss")).map((name) => name.slice(0, -".loss".length));
  for (const name of cases) {
    noGrad(() =>
      scope(() => {
        const { preconditioning, draw } = lossOf(file, name);
        const expected = file.numbers(`${name}.sigma`);
        const drawn = `${name}.${draw.name}`;
        if (file.has(drawn)) {
          const levels = file.numbers(drawn).map(draw.sigma);
          // In float32, VP's smallest levels lose terms that are small compared with 1.
          const scaleOf = (level: number): number => level + 0.01 / level;
          file.compareEach(`${name}: noise level`, levels, expected, 1e-5, scaleOf);
        }
        const weights = expected.map(preconditioning.lossWeight);
        file.compare(`${name}: weight`, weights, file.tensor(`${name}.weight`), 1e-5);
        const noise = file.tensor(`${name}.noise`).double();
        const noisy = images.double().addcmul(noise, column(expected, noise));
        const output = denoiser.forward(noisy.float(), expected, conditionsOf(file));
        file.compare(`${name}: output`, output, file.tensor(`${name}.D`), 1e-5);
        const isStable = file.has(`${name}.target`);
        const target = isStable ? stableTarget(file.tensor("references"), noisy, expected) : images;
        if (isStable) {
          file.compare(`${name}: target`, target, file.tensor(`${name}.target_float64`), TARGET_TOLERANCE);
          file.compare(`${name}: target in float32`, target, file.tensor(`${name}.target`), 5 * TARGET_TOLERANCE);
        }
        const error = weightedSquaredError(preconditioning);
        const loss = error(output, target, expected);
        file.compare(`${name}: loss`, loss, file.tensor(`${name}.loss`), 2e-5);
        file.compare(`${name}: sum of the loss`, loss.double().sum(), file.tensor(`${name}.loss_sum`), 1e-5);
        const inFloat64 = denoiser.forward(noisy, expected, conditionsOf(file, "float64"));
        const exact = error(inFloat64, target.double(), expected);
        // The noisy image and the stable target are rounded to float32 in between.
        file.compare(`${name}: loss in float64`, exact, file.tensor(`${name}.loss_float64`), 2e-5);
      }),
    );
  }
  denoiser.dispose();
}

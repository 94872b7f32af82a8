/** Stable targets, and losses with and without them. */

import { join } from "node:path";
import { noGrad, scope, type Tensor, tensor } from "@stf/torch";
import { type PerturbedBatch, type Preconditioning, stableFieldTarget, VectorBank, vePreconditioning, veProcess, vpPreconditioning, vpProcess } from "stf";
import { GoldenFile } from "./golden-file.js";
import { denoiserOf } from "./networks.js";

/** Target values to about float32 precision of their largest entry. */
const TARGET_TOLERANCE = 1e-5;

/** The stable target of noisy rows whose sources are the first references, `[B, ...]`. */
function stableTarget(references: Tensor, x: Tensor, sigma: Float64Array): Tensor {
  return scope(() => {
    const [rows = 0] = x.shape;
    const [count = 0] = references.shape;
    const bank = new VectorBank("references", references.double().reshape([count, -1]));
    const source = references.narrow(0, 0, rows).double();
    const levels = tensor(sigma, { shape: [rows, ...new Array<number>(x.rank - 1).fill(1)] });
    const dimension = bank.dimension;
    const asPixels = (values: Tensor): Tensor => values.reshape([rows, dimension, 1, 1]);
    const batch: PerturbedBatch = {
      indices: Int32Array.from({ length: rows }, (_, row) => row),
      source: asPixels(source.float()),
      noise: asPixels(x.double().sub(source).div(levels)),
      sigma,
      perturbed: asPixels(x),
    };
    const target = stableFieldTarget()(batch, { bank, pool: "all", size: count }).reshape(x.shape);
    bank.dispose();
    return target;
  });
}

export function checkTargets(file: GoldenFile): void {
  const cases = file.names.filter((name) => name.endsWith(".x")).map((name) => name.slice(0, -".x".length));
  for (const name of cases) {
    scope(() => {
      const references = file.tensor(`${name}.ref`);
      const x = file.tensor(`${name}.x`);
      const exact = file.tensor(`${name}.target_float64`);
      const target = stableTarget(references, x, file.numbers(`${name}.sigma`));
      file.compare(`${name}: target`, target, exact, TARGET_TOLERANCE);
      file.compare(`${name}: against float32`, target, file.tensor(`${name}.target`), 5 * TARGET_TOLERANCE);
      const [count = 0] = references.shape;
      const weighted = file.tensor(`${name}.weights_float64`).mm(references.double().reshape([count, -1]));
      file.compare(`${name}: weighted sum of references`, target, weighted.reshape(x.shape), TARGET_TOLERANCE);
    });
  }
}

interface PublishedLosses {
  readonly [name: string]: Readonly<Record<string, number>> | string;
}

/** The law of the noise level, from the stored draw, and the weight. */
interface Law {
  readonly draw: "rnd_normal" | "rnd_uniform";
  sigma(draw: number): number;
  readonly weight: (sigma: number) => number;
}

function lawOf(name: string, config: PublishedLosses): Law {
  const constants = (key: string) => (config[key] ?? {}) as Readonly<Record<string, number>>;
  const weightOf = ({ lossWeight }: Preconditioning): ((sigma: number) => number) => lossWeight;
  if (name === "vp") {
    const { beta_d = 19.9, beta_min = 0.1, epsilon_t = 1e-5 } = constants("VP");
    const process = vpProcess({ betaMin: beta_min, betaMax: beta_min + beta_d });
    const sigma = (u: number): number => process.sigma(1 + u * (epsilon_t - 1));
    return { draw: "rnd_uniform", sigma, weight: weightOf(vpPreconditioning()) };
  }
  if (name === "ve") {
    const { sigma_min = 0.02, sigma_max = 100 } = constants("VE");
    const process = veProcess({ sigmaMin: sigma_min, sigmaMax: sigma_max });
    return { draw: "rnd_uniform", sigma: process.sigma, weight: weightOf(vePreconditioning()) };
  }
  const { P_mean = -1.2, P_std = 1.2, sigma_data = 0.5 } = constants("EDM");
  return {
    draw: "rnd_normal",
    sigma: (z) => Math.exp(P_mean + P_std * z),
    weight: (sigma) => (sigma ** 2 + sigma_data ** 2) / (sigma * sigma_data) ** 2,
  };
}

/** Losses with the network of another file of the same folder, whose name begins as the configuration says. */
export function checkLosses(file: GoldenFile, folder: string, files: readonly string[]): void {
  // Where the file does not say otherwise, the constants are the published defaults.
  const config = file.hasMetadata("config") ? file.metadata<PublishedLosses>("config") : {};
  const wanted = /file (\w+)/.exec(String(config["network"]))?.[1] ?? "01";
  const found = files.find((name) => name.startsWith(`${wanted}_`));
  if (!found) throw new Error(`it needs the network of file ${wanted}, which is not in ${folder}`);
  const networkFile = new GoldenFile(join(folder, found));
  const denoiser = denoiserOf(networkFile);
  const images = file.tensor("images");
  const cases = file.names.filter((name) => name.endsWith(".loss")).map((name) => name.slice(0, -".loss".length));
  for (const name of cases) {
    noGrad(() =>
      scope(() => {
        const law = lawOf(name, config);
        const expected = file.numbers(`${name}.sigma`);
        const drawn = `${name}.${law.draw}`;
        if (file.has(drawn)) {
          const levels = file.numbers(drawn).map((draw) => law.sigma(draw));
          const deviations = levels.map((level, i) => level / (expected[i] as number) - 1);
          // In float32, VP's smallest levels lose what is small against 1.
          file.compareAbsolute(`${name}: noise level`, deviations, new Float64Array(levels.length), 1e-4);
        }
        const weights = expected.map(law.weight);
        file.compare(`${name}: weight`, weights, file.tensor(`${name}.weight`), 1e-5);
        const column = (values: Float64Array): Tensor => tensor(values, { shape: [values.length, 1, 1, 1] });
        const noisy = images.double().add(file.tensor(`${name}.noise`).double().mul(column(expected)));
        const output = denoiser.forward(noisy.float(), expected);
        file.compare(`${name}: output`, output, file.tensor(`${name}.D`), 1e-5);
        const isStable = file.has(`${name}.target`);
        const target = isStable ? stableTarget(file.tensor("references"), noisy, expected) : images;
        if (isStable) {
          file.compare(`${name}: target`, target, file.tensor(`${name}.target_float64`), TARGET_TOLERANCE);
          file.compare(`${name}: target in float32`, target, file.tensor(`${name}.target`), 5 * TARGET_TOLERANCE);
        }
        const loss = output.sub(target).square().mul(column(weights).float());
        file.compare(`${name}: loss`, loss, file.tensor(`${name}.loss`), 2e-5);
        file.compare(`${name}: sum of the loss`, loss.double().sum(), file.tensor(`${name}.loss_sum`), 1e-5);
        const exact = denoiser.forward(noisy, expected).sub(target.double()).square().mul(column(weights));
        // The noisy image and the stable target are float32 numbers in between.
        file.compare(`${name}: loss in float64`, exact, file.tensor(`${name}.loss_float64`), 2e-5);
      }),
    );
  }
  denoiser.dispose();
  networkFile.dispose();
}

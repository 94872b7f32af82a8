/**
 * The stable target on data whose exact denoiser is known: a ring of eight Gaussians in the plane, a small network, a few
 * seconds. Trains the same network twice, with denoising score matching and with the stable target field, and compares both
 * with the truth. Run: node examples/dist/mixture.js
 */

import { Generator, noGrad, randn, scope } from "@stf/torch";
import {
  DataOrder,
  type Denoiser,
  denoiseWith,
  denoisingTarget,
  exactTarget,
  heun,
  initialState,
  karrasSteps,
  logNormalLevels,
  type NetworkConfig,
  perturb,
  perturbedImages,
  ringOfGaussians,
  stableFieldTarget,
  type TrainingSettings,
  toyBank,
  trainingStep,
} from "stf";

const DEVIATION = 0.1;
const STEPS = 2000;
const ring = ringOfGaussians({ count: 8, deviation: DEVIATION });
const bank = toyBank(ring, 4096, 0);
const data = { bank, order: new DataOrder(bank.count, 0) };

const network: NetworkConfig = {
  arch: "mlp",
  precond: "edm",
  shape: bank.shape,
  modelChannels: 64,
  channelMult: [1],
  numBlocks: 2,
  attnResolutions: [],
  dropout: 0,
};

const settings: TrainingSettings = {
  seed: 0,
  batch: 64,
  microBatch: 64,
  learningRate: { peak: 1e-3, rampup: 0 },
  ema: { halflife: 4000, rampupRatio: 0.05 },
  lossScaling: 1,
  noiseLevels: logNormalLevels(-0.5, 1),
  target: stableFieldTarget(),
  references: 1024,
};

/** The averaged network after all steps. */
function trained(objective: Partial<TrainingSettings>): Denoiser {
  const state = initialState(network, 0, "fp32");
  for (let step = 0; step < STEPS; step++) trainingStep(state, data, { ...settings, ...objective });
  return state.averaged;
}

/** Root mean squared distance of the network's denoiser from the exact one, at one noise level. */
function errorOf(denoiser: Denoiser, sigma: number): number {
  const samples = Array.from({ length: 2048 }, (_, i) => 10_000_000 + i);
  return noGrad(() =>
    scope(() => {
      const indices = data.order.range(0, samples.length);
      const batch = perturb(samples, indices, bank, { seed: 0, noiseLevels: () => sigma });
      const exact = exactTarget(ring).of(batch);
      const squares = denoiser.forward(perturbedImages(batch), batch.sigma).sub(exact).square();
      return Math.sqrt(squares.mean().item() * ring.dimension);
    }),
  );
}

/** Draws points and returns the fraction within three standard deviations of the circle. */
function fractionOnRing(denoiser: Denoiser): number {
  return noGrad(() =>
    scope(() => {
      const steps = karrasSteps(18, { sigmaMax: 20 });
      const generator = new Generator(1);
      const start = randn([512, 2, 1, 1], { generator, dtype: "float64" }).mul(steps.times[0] as number);
      const radii = heun.sample(denoiseWith(denoiser), start, steps).square().sum(1).sqrt();
      return radii
        .sub(1)
        .abs()
        .lt(3 * DEVIATION)
        .double()
        .mean()
        .item();
    }),
  );
}

const denoisers = {
  "denoising score matching": trained({ target: denoisingTarget }),
  "stable target field": trained({}),
};
console.log(`${STEPS} steps of ${settings.batch} points; distance from the exact denoiser, root mean square:`);
for (const [name, denoiser] of Object.entries(denoisers)) {
  const errors = [0.2, 0.5, 1].map((sigma) => `${errorOf(denoiser, sigma).toFixed(4)} at sigma ${sigma}`);
  const percent = (100 * fractionOnRing(denoiser)).toFixed(0);
  console.log(`  ${name.padEnd(26)}${errors.join(", ")}; ${percent} % of the draws on the ring`);
}

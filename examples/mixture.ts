/**
 * The stable target on data whose exact denoiser is known: a ring of eight Gaussians in the plane, a small network, a few
 * seconds. Trains the same network twice, with denoising score matching and with the stable target field, and compares both
 * with the truth. Run: node examples/dist/mixture.js
 */

import {
  Adam,
  cat,
  FlatParameters,
  Linear,
  Module,
  manualSeed,
  noGrad,
  randn,
  scope,
  type Tensor,
  tensor,
} from "@stf/torch";
import {
  DataOrder,
  denoisingTarget,
  drawPool,
  edmPreconditioning,
  heun,
  KeyedRandom,
  karrasSteps,
  logNormalLevels,
  type PerturbedBatch,
  randomKey,
  stableFieldTarget,
  type Target,
  VectorBank,
} from "stf";

const COMPONENTS = 8;
const DEVIATION = 0.1;
const POINTS = 4096;
const [STEPS, BATCH, REFERENCES] = [2000, 64, 1024];
const centres = Array.from({ length: COMPONENTS }, (_, m) => {
  const angle = (2 * Math.PI * m) / COMPONENTS;
  return [Math.cos(angle), Math.sin(angle)] as const;
});
const preconditioning = edmPreconditioning({ sigmaData: Math.SQRT1_2 });

function drawPoints(random: KeyedRandom): Tensor {
  const values = new Float64Array(2 * POINTS);
  for (let i = 0; i < POINTS; i++) {
    const [x, y] = centres[random.integer(COMPONENTS)] as readonly [number, number];
    values[2 * i] = x + DEVIATION * random.normal();
    values[2 * i + 1] = y + DEVIATION * random.normal();
  }
  return tensor(values, { shape: [POINTS, 2] });
}

/** E[y | x]: each component's posterior mean, weighted by how likely the component is. */
function exactDenoiser([x, y]: readonly [number, number], sigma: number): [number, number] {
  const variance = DEVIATION ** 2 + sigma ** 2;
  const distances = centres.map(([cx, cy]) => (x - cx) ** 2 + (y - cy) ** 2);
  const nearest = Math.min(...distances);
  const weights = distances.map((distance) => Math.exp((nearest - distance) / (2 * variance)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const pull = DEVIATION ** 2 / variance;
  let mean: [number, number] = [0, 0];
  centres.forEach(([cx, cy], m) => {
    const share = (weights[m] as number) / total;
    mean = [mean[0] + share * (cx + pull * (x - cx)), mean[1] + share * (cy + pull * (y - cy))];
  });
  return mean;
}

/** Two hidden layers on the point and the noise level. Shapes: x `[B, 2, 1, 1]`, output the same. */
class PlaneDenoiser extends Module {
  private readonly layers = [new Linear(3, 64), new Linear(64, 64), new Linear(64, 2)].map((layer, i) =>
    this.registerModule(`layer${i}`, layer),
  ) as [Linear, Linear, Linear];

  forward(x: Tensor, sigma: Float64Array): Tensor {
    return scope(() => {
      const column = (name: "skip" | "out" | "in" | "noise"): Tensor =>
        tensor(
          Float64Array.from(sigma, (level) => preconditioning.coefficients(level)[name]),
          {
            shape: [sigma.length, 1],
            dtype: "float32",
          },
        );
      const points = x.view([sigma.length, 2]);
      const [first, second, last] = this.layers;
      const input = cat([points.mul(column("in")), column("noise")], 1);
      const hidden = second.forward(first.forward(input).silu()).silu();
      return points
        .mul(column("skip"))
        .add(last.forward(hidden).mul(column("out")))
        .view([sigma.length, 2, 1, 1]);
    });
  }
}

function trainOn(bank: VectorBank, target: Target, references: number): PlaneDenoiser {
  manualSeed(0);
  const network = new PlaneDenoiser();
  const parameters = new FlatParameters(network);
  const optimizer = new Adam(parameters);
  const order = new DataOrder(bank.count, 0);
  const levels = logNormalLevels(-0.5, 1);
  for (let step = 0; step < STEPS; step++) {
    const random = new KeyedRandom(randomKey(0, "noiseLevel", step));
    scope(() => {
      const indices = order.range(step * BATCH, BATCH);
      const sigma = Float64Array.from(indices, () => levels(random));
      const source = bank.toValues(bank.rows(indices)).view([BATCH, 2, 1, 1]);
      const noise = randn([BATCH, 2, 1, 1]);
      const column = (values: Float64Array): Tensor => tensor(values, { shape: [BATCH, 1, 1, 1], dtype: "float32" });
      const batch: PerturbedBatch = { indices, source, noise, sigma, perturbed: source.addcmul(noise, column(sigma)) };
      const pool = drawPool(indices, Math.max(references, BATCH), bank.count, random);
      const wanted = target(batch, { bank, pool, size: references });
      const weights = column(Float64Array.from(sigma, (level) => preconditioning.lossWeight(level)));
      parameters.zeroGrad();
      network
        .forward(batch.perturbed, sigma)
        .sub(wanted)
        .square()
        .mul(weights)
        .sum()
        .mul(1 / BATCH)
        .backward();
      optimizer.step(1e-3);
    });
  }
  optimizer.dispose();
  parameters.dispose();
  return network;
}

/** Root mean squared distance of the network's denoiser from the exact one, at one noise level. */
function errorOf(network: PlaneDenoiser, bank: VectorBank, sigma: number): number {
  return noGrad(() =>
    scope(() => {
      const count = 1024;
      manualSeed(1);
      const x = bank.toValues(bank.rowRange(0, count)).add(randn([count, 2]), { alpha: sigma });
      const found = network.forward(x.view([count, 2, 1, 1]), new Float64Array(count).fill(sigma)).toFloat64Array();
      const points = x.toFloat64Array();
      let sum = 0;
      for (let i = 0; i < count; i++) {
        const [ex, ey] = exactDenoiser([points[2 * i] as number, points[2 * i + 1] as number], sigma);
        sum += ((found[2 * i] as number) - ex) ** 2 + ((found[2 * i + 1] as number) - ey) ** 2;
      }
      return Math.sqrt(sum / count);
    }),
  );
}

/** Draws points and says how many lie within three deviations of a centre. */
function shareOnRing(network: PlaneDenoiser): number {
  return noGrad(() =>
    scope(() => {
      const count = 512;
      manualSeed(2);
      const steps = karrasSteps(18, { sigmaMax: 20 });
      const start = randn([count, 2, 1, 1], { dtype: "float64" }).mul(steps[0] as number);
      const drawn = heun.sample(
        (x, sigma) => network.forward(x.float(), new Float64Array(count).fill(sigma)).double(),
        start,
        steps,
      );
      const values = drawn.toFloat64Array();
      const near = Array.from({ length: count }, (_, i) =>
        centres.some(
          ([cx, cy]) => Math.hypot((values[2 * i] as number) - cx, (values[2 * i + 1] as number) - cy) < 3 * DEVIATION,
        ),
      );
      return near.filter(Boolean).length / count;
    }),
  );
}

const bank = new VectorBank("ring", drawPoints(new KeyedRandom(randomKey(0, "order"))));
const networks = {
  "denoising score matching": trainOn(bank, denoisingTarget, 1),
  "stable target field": trainOn(bank, stableFieldTarget(), REFERENCES),
};
console.log(`${STEPS} steps of ${BATCH} points; distance from the exact denoiser, root mean square:`);
for (const [name, network] of Object.entries(networks)) {
  const errors = [0.2, 0.5, 1].map((sigma) => `${errorOf(network, bank, sigma).toFixed(4)} at sigma ${sigma}`);
  console.log(
    `  ${name.padEnd(26)}${errors.join(", ")}; ${(100 * shareOnRing(network)).toFixed(0)} % of the draws on the ring`,
  );
}

/**
 * A preconditioning of one's own: around the best linear denoiser of the data set, that of a Gaussian with its mean and covariance,
 *
 *     D(x; sigma) = mu + C (C + sigma² I)^-1 (x - mu) + c_out(sigma) F(c_in x; c_noise),
 *
 * with c_out(sigma)² the mean squared error per value that this leaves, tr(C sigma² (C + sigma² I)^-1) / D, and the loss weighted by its
 * inverse. Trains it, or EDM's preconditioning for comparison, on stable targets with all images as references, and measures the
 * Fréchet distance of drawn images to the test set, without and with a mixture of 30 Gaussians at high noise.
 * Run: node examples/dist/gaussian.js IMAGES TEST_IMAGES [--precond=edm] [--images=60000] [--num=1000] [--seed=0]
 */

import { parseArgs } from "node:util";
import { cat, noGrad, scope, type Tensor, tensor, zeros } from "@stf/torch";
import {
  type AnalyticPart,
  DataOrder,
  denoiseClasses,
  discretizations,
  dpmSolver,
  edmPreconditioning,
  FeatureAccumulator,
  type FeatureStatistics,
  fitMixture,
  frechetDistance,
  generateImages,
  type ImageBank,
  initialState,
  loadFeatureNetwork,
  measureHandOver,
  methodOf,
  type NetworkConfig,
  nearestDistances,
  openDataset,
  type Preconditioning,
  posteriorWindow,
  selectImages,
  shippedFeaturesPath,
  stableFieldTarget,
  type TrainingSettings,
  timeSteps,
  trainingStep,
} from "stf";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    precond: { type: "string", default: "gaussian" },
    images: { type: "string", default: "60000" },
    num: { type: "string", default: "1000" },
    seed: { type: "string", default: "0" },
    cbase: { type: "string", default: "32" },
  },
});
const [trainPath, testPath] = positionals;
if (trainPath === undefined || testPath === undefined)
  throw new Error("usage: gaussian.js IMAGES TEST_IMAGES [OPTIONS]");
const isGaussian = options.precond === "gaussian";
const [last, num, seed] = [options.images, options.num, options.seed].map(Number) as [number, number, number];

const bank = await openDataset(trainPath, { labels: false });
const test = await openDataset(testPath, { labels: false });
const D = bank.dimension;

const numbers = (count: number, first = 0): Int32Array => Int32Array.from({ length: count }, (_, i) => first + i);

/** Runs over the images of a bank in blocks, `[B, D]`. */
function forEachBlock({ count, gather }: Pick<ImageBank, "count" | "gather">, body: (rows: Tensor) => void): void {
  for (let first = 0; first < count; first += 1000) {
    scope(() => body(gather(numbers(Math.min(1000, count - first), first))));
  }
}

/** Eigenvalues and eigenvectors of the covariance of the images, and their mean, `[1, D]`. */
function principalAxes(): { mean: Tensor; variances: Float64Array; axes: Tensor } {
  const [sum, squares] = [zeros([1, D], { dtype: "float64" }), zeros([D, D], { dtype: "float64" })];
  forEachBlock({ count: bank.count, gather: (rows) => bank.toValues(bank.gather(rows)) }, (rows) => {
    const values = rows.double();
    sum.add_(values.sum(0, true));
    squares.add_(values.t().mm(values));
  });
  const mean = sum.div(bank.count);
  const [variances, axes] = squares.div(bank.count).sub(mean.t().mm(mean)).linalgEigh();
  return {
    mean: mean.float(),
    variances: (variances.toTypedArray() as Float64Array).map((variance) => Math.max(variance, 0)),
    axes: axes.float(),
  };
}

const { mean, variances, axes } = principalAxes();

/** The denoiser of the Gaussian: it shrinks each principal component by lambda / (lambda + sigma²). */
const linear = (x: Tensor, sigma: Float64Array): Tensor =>
  scope(() => {
    const gains = Array.from(sigma, (level) => Array.from(variances, (variance) => variance / (variance + level ** 2)));
    const components = x
      .flatten(1)
      .sub(mean)
      .mm(axes)
      .mul(tensor(gains.flat(), { dtype: "float32" }).view([-1, D]));
    return components.mm(axes.t()).add(mean).view(x.shape);
  });

/** Its mean squared error per value. */
const unexplained = (sigma: number): number =>
  variances.reduce((sum, variance) => sum + (variance * sigma ** 2) / (variance + sigma ** 2), 0) / D;

const edm = edmPreconditioning();
const preconditioning: Preconditioning = {
  ...edm,
  coefficients: (sigma) => ({ ...edm.coefficients(sigma), skip: 0, out: Math.sqrt(unexplained(sigma)) }),
  lossWeight: (sigma) => 1 / unexplained(sigma),
};

const network: NetworkConfig = {
  ...{ arch: "ddpmpp", precond: "edm", shape: bank.shape, modelChannels: Number(options.cbase) },
  ...{ channelMult: [1, 1, 2], numBlocks: 1, attnResolutions: [7], dropout: 0 },
};
const settings: TrainingSettings = {
  ...{ seed, batch: 32, microBatch: 32, lossScaling: 1 },
  learningRate: { peak: 1e-3, rampup: 2000 },
  ema: { halflife: 10_000, rampupRatio: 0.05 },
  target: stableFieldTarget(),
  references: "all",
  isNeeded: posteriorWindow(nearestDistances(bank)),
};

const state = initialState(network, seed, "fp32", "cpu", isGaussian ? { preconditioning } : {});
for (const each of isGaussian ? [state.network, state.averaged] : []) {
  const residual = each.forward.bind(each);
  each.forward = (x, sigma, conditions) =>
    scope(() => residual(x, sigma, conditions).add(noGrad(() => linear(x, sigma)).to({ dtype: x.dtype })));
}

const features = await loadFeatureNetwork(shippedFeaturesPath);

function statistics(images: Pick<ImageBank, "count" | "gather">): FeatureStatistics {
  const sums = new FeatureAccumulator(features.dimension);
  const { channels, height, width } = bank.shape;
  forEachBlock(images, (rows) => sums.add(features.extract(rows.view([-1, channels, height, width])).features));
  return sums.statistics();
}

const reference = statistics({ count: test.count, gather: (rows) => test.gather(rows) });
const mixture = fitMixture(bank, 0.5, { components: 30 });
const others = selectImages(
  test,
  numbers(512).map((i) => Math.floor((i * test.count) / 512)),
);
const levels = discretizations.edm.levels(12, { sigmaMin: 0.002, sigmaMax: 80 }, 7);
const method = methodOf(dpmSolver, timeSteps(levels), {});

/** The Fréchet distance of what the averaged network draws to the test set. */
const distance = (analytic?: AnalyticPart): string =>
  scope(() => {
    const batches = Array.from({ length: Math.ceil(num / 50) }, (_, batch) => {
      const seeds = Array.from(numbers(Math.min(50, num - 50 * batch), 50 * batch));
      return generateImages(state.averaged, seeds, { method, analytic }).images;
    });
    const drawn = cat(batches).flatten(1);
    const gather = (rows: Int32Array): Tensor => drawn.indexSelect(0, tensor(rows));
    return frechetDistance(statistics({ count: num, gather }), reference).toFixed(3);
  });

const data = { bank, order: new DataOrder(bank.count, seed) };
/** Images after which quality is measured: a third of them, and all. */
const marks = [Math.ceil(last / 96) * 32, last];
let [steps, sum] = [0, 0];
while (state.images < last) {
  sum += trainingStep(state, data, settings).mean;
  steps++;
  if (!marks.includes(state.images)) continue;
  console.log(`${state.images} images, mean loss ${(sum / steps).toFixed(4)}`);
  console.log(`  the network alone   Fréchet ${distance()}`);
  const { above } = scope(() =>
    measureHandOver(denoiseClasses(state.averaged), (x, sigma) => mixture.denoise(x, sigma), others, {
      ...{ sigmaMin: 0.5, sigmaMax: 80 },
    }),
  );
  if (above === null) console.log("  the mixture is nowhere better");
  else console.log(`  mixture above ${above.toFixed(2)}  Fréchet ${distance({ denoiser: mixture, above })}`);
}

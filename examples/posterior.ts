/**
 * Which points a noisy point may have come from: the posterior over 2000 points of a mixture of eight Gaussians, from low noise to
 * high. At low noise it is the source alone, and a stable target equals the clean point; at high noise all points are equally likely.
 * Run: node examples/dist/posterior.js
 */

import { scope } from "@stf/torch";
import {
  DataOrder,
  effectiveSampleSize,
  perturb,
  perturbedImages,
  posterior,
  posteriorEntropy,
  posteriorWeight,
  ringOfGaussians,
  toyBank,
} from "stf";

const bank = toyBank(ringOfGaussians({ count: 8, deviation: 0.1 }), 2000, 0);
const samples = Array.from({ length: 500 }, (_, i) => i);
const sources = new DataOrder(bank.count, 0).range(0, samples.length);

const mean = (values: ArrayLike<number>): number => Array.from(values).reduce((a, b) => a + b, 0) / values.length;
const columns = ["sigma", "effective size", "entropy", "weight of source", "distance of mean"];
const row = (cells: readonly string[]): string => cells.map((cell) => cell.padStart(18)).join("");

console.log(`posterior over ${bank.count} points, means over ${samples.length} noisy ones:`);
console.log(row(columns));
for (const sigma of [0.001, 0.01, 0.03, 0.1, 0.3, 1, 3, 10]) {
  scope(() => {
    const batch = perturb(samples, sources, bank, { seed: 0, noiseLevels: () => sigma });
    const found = posterior(bank, perturbedImages(batch), batch.sigma);
    const distances = found.mean.sub(batch.source).square().sum([1, 2, 3]).sqrt();
    const numbers = [
      mean(effectiveSampleSize(found)),
      mean(posteriorEntropy(found)),
      mean(posteriorWeight(found, sources)),
      distances.mean().item(),
    ];
    console.log(row([String(sigma), ...numbers.map((value) => value.toPrecision(4))]));
  });
}

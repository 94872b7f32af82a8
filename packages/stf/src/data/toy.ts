/** Distributions of a few real numbers, most with known denoisers, for tests, examples and analysis. */

import { scope, type Tensor, tensor, where } from "@stf/torch";
import { column } from "../column.js";
import type { KnownDistribution, ToyDistribution } from "./distribution.js";
import { gaussianMixture } from "./mixture.js";

/** Two Gaussians at +1 and -1 in every coordinate, in any dimension. */
export function twoGaussians({ dimension = 2, deviation = 0.2 } = {}): KnownDistribution {
  return gaussianMixture(
    "two Gaussians",
    [-1, 1].map((side) => ({ weight: 1, mean: new Array<number>(dimension).fill(side), deviation })),
  );
}

/** Gaussians at equal distances on a circle in the first two coordinates; further coordinates have mean 0. */
export function ringOfGaussians({ count = 8, radius = 1, deviation = 0.1, dimension = 2 } = {}): KnownDistribution {
  const mean = (m: number): number[] => {
    const angle = (2 * Math.PI * m) / count;
    const zeros = new Array<number>(Math.max(dimension - 2, 0)).fill(0);
    return [radius * Math.cos(angle), radius * Math.sin(angle), ...zeros].slice(0, dimension);
  };
  const components = Array.from({ length: count }, (_, m) => ({ weight: 1, mean: mean(m), deviation }));
  return gaussianMixture("ring of Gaussians", components);
}

const ROOT_HALF = Math.SQRT1_2;

/** The dark squares of a board of `squares` x `squares` squares on [-1, 1]², with uniform density. */
export function checkerboard({ squares = 4 } = {}): ToyDistribution {
  const side = 2 / squares;
  const corners = Array.from({ length: squares * squares }, (_, i) => [i % squares, Math.floor(i / squares)] as const)
    .filter(([column, row]) => (column + row) % 2 === 0)
    .map(([column, row]) => [-1 + side * column, -1 + side * row] as const);
  return {
    name: "checkerboard",
    dimension: 2,
    draw(random) {
      const [left, bottom] = corners[random.integer(corners.length)] as readonly [number, number];
      return [left + side * random.uniform(), bottom + side * random.uniform()];
    },
    // Uniform on a box: per coordinate a normal distribution truncated at both sides. A square is weighted by its probability.
    denoise: (x, sigma) =>
      scope(() => {
        const lower = tensor(Float64Array.from(corners.flat()), { shape: [1, corners.length, 2], device: x.device });
        const levels = column(sigma, x).unsqueeze(2);
        const at = x.unsqueeze(1);
        const [from, to] = [lower.sub(at).div(levels), lower.add(side).sub(at).div(levels)] as const;
        // Both ends on the side where the complementary error function does not suffer from cancellation.
        const mirrored = from.gt(0);
        const low = where(mirrored, to.neg(), from);
        const high = where(mirrored, from.neg(), to);
        const mass = high.mul(-ROOT_HALF).erfc().sub(low.mul(-ROOT_HALF).erfc()).mul(0.5);
        const density = (z: Tensor): Tensor =>
          z
            .square()
            .mul(-0.5)
            .exp()
            .mul(1 / Math.sqrt(2 * Math.PI));
        const mean = at.add(levels.mul(density(from).sub(density(to)).div(mass.clamp(Number.MIN_VALUE))));
        const weights = mass.log().sum(2, true).softmax(1);
        return weights.mul(mean.nanToNum(0)).sum(1);
      }),
  };
}

/** A spiral with a little noise; no closed form. */
export function swissRoll({ deviation = 0.03 } = {}): ToyDistribution {
  return {
    name: "swiss roll",
    dimension: 2,
    draw(random) {
      const angle = 1.5 * Math.PI * (1 + 2 * random.uniform());
      const radius = angle / (4.5 * Math.PI);
      return [
        radius * Math.cos(angle) + deviation * random.normal(),
        radius * Math.sin(angle) + deviation * random.normal(),
      ];
    },
  };
}

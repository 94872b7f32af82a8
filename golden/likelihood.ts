/** Bits per dimension by the probability flow, with the exact score of a mixture. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { bitsPerDimension, logDensity, type Tolerances } from "stf";
import type { GoldenFile } from "./golden-file.js";
import { mixtureDenoiser, mixtureLogDensity, sdeNamed, sdesOf } from "./sde.js";
import { solverTolerance } from "./sde-samplers.js";

interface PublishedSettings {
  readonly eps: number;
  readonly rtol: number;
  readonly atol: number;
  readonly offset: number;
}

/** Probes along one axis after the other, scaled so that their mean gives the exact divergence. */
function axesLike(images: Tensor): Tensor[] {
  const [, ...shape] = images.shape;
  const dimension = images.flatten(1).size(1);
  return Array.from({ length: dimension }, (_, axis) => {
    const unit = new Float64Array(dimension);
    unit[axis] = Math.sqrt(dimension);
    return tensor(unit, { shape: [1, ...shape] }).expandAs(images);
  });
}

export function checkLikelihood(file: GoldenFile): void {
  const sdes = sdesOf(file, "sde");
  const { eps, rtol, atol, offset } = file.metadata<PublishedSettings>("settings");
  const denoise = mixtureDenoiser(file);
  const fair = solverTolerance({ rtol, atol });
  const names = file.names.filter((name) => name.endsWith(".bpd")).map((name) => name.slice(0, -".bpd".length));
  for (const name of names) {
    const { process, priorDeviation } = sdeNamed(sdes, name);
    const path = { process, first: eps, last: process.end, priorDeviation };
    scope(() => {
      const images = file.tensor("data").double();
      const dimension = images.flatten(1).size(1);
      const bitsOf = (density: number): number => bitsPerDimension(density, dimension, offset);
      const rowsOf = (values: Tensor): Float64Array[] =>
        Array.from({ length: values.size(0) }, (_, row) => values.select(0, row).toFloat64Array());
      const probe = file.tensor(`${name}.probe`).double();
      const measured = (tolerances: Tolerances): { bits: Float64Array; latents: Tensor } => {
        const { logDensity: found, latents } = logDensity(denoise, images, [probe], { ...path, ...tolerances });
        return { bits: found.toFloat64Array().map(bitsOf), latents };
      };
      const usual = measured({ rtol, atol, control: "batch" });
      file.compareAbsolute(`${name}.bpd`, usual.bits, file.tensor(`${name}.bpd`), fair);
      file.compareAbsolute(`${name}.z`, usual.latents, file.tensor(`${name}.z`), 2 * fair);
      const tight = measured({ rtol: 1e-10, atol: 1e-10, control: "batch" });
      file.compareAbsolute(`${name}: bits, tight`, tight.bits, file.tensor(`${name}.bpd_float64_tight`), 1e-4);
      file.compareAbsolute(`${name}: latents, tight`, tight.latents, file.tensor(`${name}.z_float64_tight`), 1e-6);
      // The flow ends in the distribution of the mixture's noisy images, which is not quite the prior.
      const exact = logDensity(denoise, images, axesLike(images), { ...path, rtol: 1e-9, atol: 1e-9 });
      const logPrior = (z: Float64Array): number =>
        -z.reduce((sum, value) => sum + value ** 2, 0) / (2 * priorDeviation ** 2) -
        dimension * Math.log(Math.sqrt(2 * Math.PI) * priorDeviation);
      const logEnd = mixtureLogDensity(file, process, process.end);
      const ends = rowsOf(exact.latents).map((z) => logEnd(z) - logPrior(z));
      const densities = exact.logDensity.mean([1]).toFloat64Array();
      const bits = densities.map((density, i) => bitsOf(density + (ends[i] as number)));
      file.compareAbsolute(`${name}.bpd_true_density`, bits, file.tensor(`${name}.bpd_true_density`), 1e-6);
    });
  }
}

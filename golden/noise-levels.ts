/** The tables behind the preconditionings: noise levels, times, and the levels that a network supports. */

import { nearestLevel, type Preconditioning, vpProcess } from "stf";
import type { GoldenFile, Numbers } from "./golden-file.js";
import { betasOf, configOf, type PublishedConfig, preconditioningOf } from "./published-network.js";

/**
 * sigma² relative to 1 + sigma²: the published sqrt(exp(B) - 1) and the chain of improved DDPM lose terms in float32 that are small
 * compared with 1 before the square root is taken, so the error of the smallest levels depends on the constants.
 */
export function compareLevels(
  file: GoldenFile,
  what: string,
  found: ArrayLike<number>,
  expected: Float64Array,
  tolerance = 4e-6,
): void {
  const [squares, wanted] = [found, expected].map((levels) => Float64Array.from(levels, (level) => level ** 2));
  file.compareEach(what, squares as Float64Array, wanted as Float64Array, tolerance, (square) => 1 + square);
}

/** @param levels - those that the network supports, if it does not support all */
export function checkTables(file: GoldenFile, levels: Preconditioning["levels"]): void {
  if (file.has("sigma_range")) {
    const { sigmaMin, sigmaMax } = preconditioningOf(configOf(file));
    compareLevels(file, "range of noise levels", [sigmaMin, sigmaMax], file.numbers("sigma_range"));
  }
  if (levels) checkLevels(file, levels, configOf(file));
  else if (file.has("grid.round_sigma")) {
    // Every level is supported, so none is rounded.
    file.compare("levels stay", file.numbers("grid.sigma"), file.numbers("grid.round_sigma"), 1e-12);
  }
  if (file.has("grid.sigma_of_t")) checkTimes(file);
}

function checkLevels(file: GoldenFile, levels: Float64Array, config: PublishedConfig): void {
  file.compareAbsolute("stored noise levels", levels, file.numbers("u"), 0);
  const own = preconditioningOf(config).levels as Float64Array;
  // The last bit of a sine, in which libraries differ, affects every step from the smallest level on.
  const stored = file.numbers("u");
  const squares = stored.map((level) => level ** 2);
  const scaleOf = (square: number, j: number): number => (1 + square) * Math.sqrt(stored.length - 1 - j);
  file.compareEach(
    "own noise levels",
    own.map((level) => level ** 2),
    squares,
    5e-7,
    scaleOf,
  );
  // A network takes its levels as float32 numbers.
  const sigma = file.numbers("grid.sigma").map(Math.fround);
  const indices = Array.from(sigma, (level) => nearestLevel(levels, level));
  file.compareAbsolute("nearest levels", indices, file.numbers("grid.exact_index"), 0);
  // If the published search lost precision, it may find the neighbour, at most half a step away.
  const published = file.numbers("grid.round_index");
  const distance = (index: number, i: number): number => Math.abs((levels[index] as number) - (sigma[i] as number));
  const worse = indices.map((index, i) => distance(index, i) - distance(published[i] as number, i));
  file.compareAbsolute("no published level is nearer", [Math.max(0, ...worse)], [0], 1e-12);
  for (const name of ["grid.round_sigma", "grid.round_sigma_one_at_a_time"].filter((name) => file.has(name))) {
    const rounded = file.numbers(name);
    const deviations = indices.map((index, i) => {
      const [ours, theirs] = [levels[index] as number, rounded[i] as number];
      return Math.abs(distance(index, i) - Math.abs(theirs - (sigma[i] as number))) / Math.max(ours, 1e-3);
    });
    file.compareAbsolute(`${name}: as near`, [Math.max(...deviations)], [0], 2e-3);
  }
  for (const name of file.names.filter((name) => name.startsWith("alpha_bar_every_"))) {
    const stride = Number(name.slice("alpha_bar_every_".length));
    const wanted = file.numbers(name);
    const angle = (Math.PI * stride) / 2 / (levels.length - 1) / ((config.C_2 ?? 0.008) + 1);
    const alphaBar = wanted.map((_, k) => Math.sin(angle * k) ** 2);
    file.compare(name, alphaBar, wanted, 1e-6);
  }
}

function checkTimes(file: GoldenFile): void {
  const betas = betasOf(configOf(file));
  const process = vpProcess(betas);
  file.compareEach("sigma(t)", file.numbers("grid.t").map(process.sigma), file.numbers("grid.sigma_of_t"), 1e-6);
  const timesOf = (name: string): Numbers => file.numbers(name).map(process.sigmaInverse);
  file.compareAbsolute("t(sigma)", timesOf("grid.sigma"), file.numbers("grid.sigma_inv"), 1e-9);
  const levels32 = file.numbers("grid.t32").map(process.sigma);
  compareLevels(file, "sigma(t) in float32", levels32, file.numbers("grid.sigma_of_t32"));
  // dt/dB is at most 1 / betaMin.
  const tolerance = 1e-6 / (betas.betaMin as number);
  file.compareAbsolute("t(sigma) in float32", timesOf("grid.sigma32"), file.numbers("grid.sigma_inv32"), tolerance);
}

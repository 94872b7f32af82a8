/** Processes on a grid of times: kernels, drifts, steps, scores, tables. */

import { scope, type Tensor } from "@stf/torch";
import { affineForm, type DiscreteProcess, estimateAt, subVpPreconditioning, vpPreconditioning } from "stf";
import { type GoldenFile, magnitude } from "./golden-file.js";
import { mixtureDenoiser, type Sde, sdesOf } from "./sde.js";

const SDE_TOLERANCE = 5e-5;
/** Rounding error of a difference of close numbers, in float32. */
const ROUNDING = 2 ** -22;
/** Below this the published score is that of this time. */
const SHORTEST_TIME = 1e-5;
/** Below this the published labels and factors are those of this time. */
const SHORTEST_LABELLED_TIME = 1e-4;

/** g² at time 0, which is 0/0 in terms of sigma: 2 s² sigma sigma'. */
function limitAtZero(process: DiscreteProcess): number {
  const t = 1e-12;
  return 2 * process.scale(t) ** 2 * process.sigma(t) * process.sigmaDerivative(t);
}

export function checkSdeGrid(file: GoldenFile): void {
  const sdes = sdesOf(file, "parameters");
  const count = file.metadata<number>("N");
  scope(() => {
    for (const [name, sde] of sdes) checkProcess(file, name, sde, count);
  });
  checkTables(file, sdes, count);
  checkScoreFactors(file, sdes);
}

function checkProcess(file: GoldenFile, name: string, { process, priorDeviation }: Sde, count: number): void {
  const times = file.numbers("t");
  const x = file.tensor("x").double();
  const flat = x.toFloat64Array();
  const dimension = flat.length / times.length;
  const timeOf = (i: number): number => times[Math.floor(i / dimension)] as number;
  /** a x, where a depends on the time. */
  const scaled = (factor: (t: number) => number): Float64Array => flat.map((value, i) => value * factor(timeOf(i)));
  const compare = (what: string, found: Tensor | ArrayLike<number>): void =>
    file.compare(`${name}.${what}`, found, file.tensor(`${name}.${what}`), SDE_TOLERANCE);
  /** An increment is published as a difference of images, with their rounding. */
  const compareIncrement = (what: string, found: Float64Array): void => {
    const wanted = file.tensor(`${name}.${what}`);
    const tolerance = SDE_TOLERANCE * magnitude(wanted) + ROUNDING * magnitude(flat);
    file.compareAbsolute(`${name}.${what}`, found, wanted, tolerance);
  };
  const drift = (t: number): number => process.scaleDerivative(t) / process.scale(t);
  const squaredDiffusion = (t: number): number =>
    t === 0 ? limitAtZero(process) : 2 * process.scale(t) ** 2 * process.sigma(t) * process.sigmaDerivative(t);
  const increment = (t: number): number => process.chainStep(t, count).decay - 1;
  const deviation = (t: number): number => process.chainStep(t, count).deviation;
  compare("mean", scaled(process.scale));
  // In float32, 1 - s² loses terms that are small compared with 1.
  const squares = file.numbers(`${name}.std`).map((std) => std ** 2);
  const variances = times.map((t) => (process.scale(t) * process.sigma(t)) ** 2);
  const scaleOf = (square: number): number => square + ROUNDING / SDE_TOLERANCE;
  file.compareEach(`${name}.std`, variances, squares, SDE_TOLERANCE, scaleOf);
  compare("drift", scaled(drift));
  compare(
    "diffusion",
    times.map((t) => Math.sqrt(squaredDiffusion(t))),
  );
  compareIncrement("f", scaled(increment));
  compare("G", times.map(deviation));
  const raised = times.map((t) => Math.max(t, SHORTEST_TIME));
  const score = estimateAt("score", mixtureDenoiser(file), process, x, raised);
  compare("gmm_score", score);
  const scores = score.toFloat64Array();
  const reversed = (own: (t: number) => number, squared: (t: number) => number, factor: number): Float64Array =>
    scaled(own).map((value, i) => value - factor * squared(timeOf(i)) * (scores[i] as number));
  compare("reverse_drift", reversed(drift, squaredDiffusion, 1));
  compare("flow_drift", reversed(drift, squaredDiffusion, 0.5));
  compareIncrement(
    "reverse_f",
    reversed(increment, (t) => deviation(t) ** 2, 1),
  );
  compareIncrement(
    "flow_f",
    reversed(increment, (t) => deviation(t) ** 2, 0.5),
  );
  const variance = priorDeviation ** 2;
  const logPrior = (row: number): number => {
    const square = flat.subarray(row * dimension, (row + 1) * dimension).reduce((sum, value) => sum + value ** 2, 0);
    return (-dimension / 2) * Math.log(2 * Math.PI * variance) - square / (2 * variance);
  };
  compare(
    "prior_logp",
    Float64Array.from(times, (_, row) => logPrior(row)),
  );
}

function checkTables(file: GoldenFile, sdes: ReadonlyMap<string, Sde>, count: number): void {
  const times = Array.from({ length: count }, (_, i) => i / (count - 1));
  const [ve, vp] = [sdes.get("ve")?.process, sdes.get("vp")?.process];
  const compare = (name: string, found: number[]): void => file.compare(name, found, file.tensor(name), SDE_TOLERANCE);
  if (ve) compare("ve.discrete_sigmas", times.map(ve.sigma));
  if (!vp) return;
  const steps = times.map((_, i) => vp.chainStep((i + 0.5) / (count - 1), count));
  compare(
    "vp.discrete_betas",
    steps.map(({ deviation }) => deviation ** 2),
  );
  let product = 1;
  const products = steps.map(({ decay }) => {
    product *= decay;
    return product;
  });
  compare("vp.sqrt_alphas_cumprod", products);
  compare(
    "vp.sqrt_1m_alphas_cumprod",
    products.map((value) => Math.sqrt(1 - value ** 2)),
  );
}

/** The noise labels of networks with continuous training, and the factor that turns their output into a score. Discrete labels have no counterpart here. */
function checkScoreFactors(file: GoldenFile, sdes: ReadonlyMap<string, Sde>): void {
  const times = file.numbers("t").map((t) => Math.max(t, SHORTEST_LABELLED_TIME));
  for (const [name, preconditioningWith] of Object.entries({ vp: vpPreconditioning, subvp: subVpPreconditioning })) {
    const process = sdes.get(name)?.process;
    const prefix = `${name}.continuous`;
    if (!process || !file.has(`${prefix}.labels`)) continue;
    const { coefficients } = preconditioningWith(sdes.get(name)?.betas);
    const found = Array.from(times, (t) => coefficients(process.sigma(t)));
    file.compare(
      `${prefix}.labels`,
      found.map(({ noise }) => noise),
      file.tensor(`${prefix}.labels`),
      SDE_TOLERANCE,
    );
    // The score is factor D, with D = c_out F; x is omitted because it cancels with c_skip.
    const factors = found.map(({ out }, i) => affineForm("score", process, times[i] as number).factor * out);
    // In float32, 1 - s² loses terms that are small compared with 1.
    const scaleOf = (factor: number, i: number): number =>
      Math.abs(factor) / (1 - process.scale(times[i] as number) ** 2);
    file.compareEach(`${prefix}.score_factor`, factors, file.tensor(`${prefix}.score_factor`), 2 * ROUNDING, scaleOf);
  }
}

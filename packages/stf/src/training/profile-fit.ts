/**
 * Averages of any width from stored ones (Karras et al. 2024, section 3.2): the combination of stored profiles that fits the wanted
 * profile best, applied to the stored weights.
 */

import type { PowerProfile } from "./power-average.js";

/** The combination that {@link fitProfile} finds. */
export interface ProfileFit {
  /** The coefficients of the stored averages, by time and then by exponent. They add up to 1. */
  readonly coefficients: readonly (readonly [number, number])[];
  /** The norm of the difference between the combined profile and the wanted one, relative to that of the wanted one. */
  readonly residual: number;
}

const NODES = 64;

/** Nodes and weights of Gauss-Legendre quadrature on [0, 1], by Newton's method on the Legendre polynomial. */
function gaussLegendre(count: number): { readonly node: number; readonly weight: number }[] {
  return Array.from({ length: count }, (_, i) => {
    let x = Math.cos((Math.PI * (i + 0.75)) / (count + 0.5));
    let derivative = 0;
    for (let iteration = 0; iteration < 8; iteration++) {
      let [before, value] = [1, x];
      for (let n = 2; n <= count; n++) [before, value] = [value, ((2 * n - 1) * x * value - (n - 1) * before) / n];
      derivative = (count * (x * value - before)) / (x * x - 1);
      x -= value / derivative;
    }
    return { node: (1 + x) / 2, weight: 1 / ((1 - x * x) * derivative * derivative) };
  });
}

let quadrature: ReturnType<typeof gaussLegendre> | undefined;

/** The integral of x^exponent from `begin` to 1. */
const massFrom = (begin: number, exponent: number): number =>
  -Math.expm1((exponent + 1) * Math.log(begin)) / (exponent + 1);

/**
 * Fits x^wanted from `begin` to 1 by a x^one + b x^other: the least-squares fit among those that have the same integral.
 *
 * @returns the coefficients, and the integral of the squared difference
 */
function fitPower(begin: number, wanted: number, [one, other]: readonly [number, number]) {
  quadrature ??= gaussLegendre(NODES);
  const [mass, oneMass, otherMass] = [wanted, one, other].map((power) => massFrom(begin, power)) as [
    number,
    number,
    number,
  ];
  // The integrals of these are 0.
  const samples = quadrature.map(({ node, weight }) => {
    const x = begin + (1 - begin) * node;
    const last = x ** other / otherMass;
    return { missing: x ** wanted - mass * last, free: x ** one - oneMass * last, weight: weight * (1 - begin) };
  });
  const sum = (value: (sample: (typeof samples)[number]) => number): number =>
    samples.reduce((total, sample) => total + sample.weight * value(sample), 0);
  const a = sum(({ missing, free }) => missing * free) / sum(({ free }) => free * free);
  const b = (mass - a * oneMass) / otherMass;
  return { a, b, error: sum(({ missing, free }) => (missing - a * free) ** 2) };
}

/**
 * The combination of stored averages whose profile is closest to the wanted one in the least-squares sense, among those that give
 * every interval between two stored times its exact weight: so weights that stay constant there are averaged exactly.
 *
 * Between two stored times the combinations of stored profiles are the combinations of tau^gamma_1 and tau^gamma_2, whatever they
 * are elsewhere, so each interval is a problem of its own. Without the condition on the weights of intervals, these are the paper's
 * equations A c = b for all profiles at once. Their coefficients do not add up to 1, which makes most of their error: with 8 stored
 * times all weights come out larger or smaller by 0.1 to 1 percent.
 *
 * @param times - when averages were stored, in images: above 0, increasing
 * @param exponents - gamma of the two averages stored each time, which differ
 * @param wanted - exponent and time of the wanted average. The time is the last of `times`
 */
export function fitProfile(
  times: readonly number[],
  exponents: readonly [number, number],
  wanted: PowerProfile,
): ProfileFit {
  const { exponent, time } = wanted;
  const pieces = times.map((end, i) => {
    const fit = fitPower((times[i - 1] ?? 0) / end, exponent, exponents);
    // The wanted profile at the end of the interval.
    const scale = ((exponent + 1) / time) * (end / time) ** exponent;
    return { end, scaled: [scale * fit.a, scale * fit.b] as const, error: scale * scale * end * fit.error };
  });
  const coefficients = pieces.map(({ end, scaled }, i) => {
    const next = pieces[i + 1];
    // A stored profile reaches back to 0: its coefficient is the step between two intervals.
    const stepOf = (which: 0 | 1): number => {
      const gamma = exponents[which];
      const after = next === undefined ? 0 : next.scaled[which] * (end / next.end) ** gamma;
      return ((scaled[which] - after) * end) / (gamma + 1);
    };
    return [stepOf(0), stepOf(1)] as const;
  });
  const squaredNorm = (exponent + 1) ** 2 / ((2 * exponent + 1) * time);
  const error = pieces.reduce((total, piece) => total + piece.error, 0);
  return { coefficients, residual: Math.sqrt(error / squaredNorm) };
}

/**
 * The Dormand-Prince pair of orders 5 and 4, with step sizes controlled by its error estimate: SciPy's RK45, which
 * Song et al. (2021, appendix D.2) use for the probability flow.
 */

import { scope, type Tensor, where } from "@stf/torch";
import { column } from "../column.js";

/** The coefficients of a Runge-Kutta pair. */
export interface ButcherTableau {
  /** The position of each slope in the step; the last is at its end. */
  readonly c: readonly number[];
  /** Coefficients of the earlier slopes in the images at each slope; the last row gives the result of the step. */
  readonly a: readonly (readonly number[])[];
  /** The difference of the two results as a combination of slopes. */
  readonly error: readonly number[];
  /** Order of the result. */
  readonly order: number;
}

/** Dormand and Prince (1980). */
export const dormandPrince: ButcherTableau = {
  c: [0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1, 1],
  a: [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
  ],
  error: [-71 / 57600, 0, 71 / 16695, -71 / 1920, 17253 / 339200, -22 / 525, 1 / 40],
  order: 5,
};

/** Accuracy of {@link integrate}. */
export interface Tolerances {
  /** Relative error tolerance of a step. */
  readonly rtol?: number;
  /** Absolute error tolerance of a step. */
  readonly atol?: number;
  /** Longest step, in time; unlimited when left out. */
  readonly maxStep?: number;
  /** Whether each row has its own step size, or all share one, as published. */
  readonly control?: "row" | "batch";
}

/** Options of {@link integrate}. */
export interface IntegrateOptions extends Tolerances {
  /** Called after every step with the time of each row and the state, which is valid only during the call. */
  readonly onStep?: (times: Float64Array, y: Tensor) => void;
}

/** The result of {@link integrate}. */
export interface Integrated {
  /** The state at the end, `[B, K]`. */
  readonly y: Tensor;
  /** Number of slope evaluations; finished rows are included until all are finished. */
  readonly evaluations: number;
}

const SAFETY = 0.9;
const LARGEST_GROWTH = 10;
const SMALLEST_GROWTH = 0.2;

/** Root mean square of each row, `[B]`. */
function rootMeanSquares(values: Tensor, isShared: boolean): Float64Array {
  const squares = scope(() => values.square().mean([1]).toFloat64Array());
  if (!isShared) return squares.map(Math.sqrt);
  const mean = squares.reduce((sum, value) => sum + value, 0) / squares.length;
  return squares.fill(Math.sqrt(mean));
}

/** A failure of the solver, such as a state that is not finite. */
export class IntegrationError extends Error {
  override readonly name = "IntegrationError";
}

/**
 * Solves dy/dt = f(t, y) from one time to another, forwards or backwards.
 *
 * @param f - the slopes, `[B, K]`, given the time of each row, `[B]`
 * @param start - the state at `from`, float64 `[B, K]`; not modified
 * @throws IntegrationError when a step would have to be shorter than the precision of the times.
 */
export function integrate(
  f: (times: Float64Array, y: Tensor) => Tensor,
  start: Tensor,
  from: number,
  to: number,
  { rtol = 1e-5, atol = 1e-5, maxStep = Number.POSITIVE_INFINITY, control = "row", onStep }: IntegrateOptions = {},
): Integrated {
  const isShared = control === "batch";
  const rows = start.size(0);
  const direction = Math.sign(to - from);
  let evaluations = 0;
  const slopeAt = (times: Float64Array, y: Tensor): Tensor => {
    evaluations++;
    return f(times, y);
  };
  return scope(() => {
    const times = new Float64Array(rows).fill(from);
    let y = start;
    let slope = slopeAt(times, y);
    const h = firstSteps(slopeAt, times, y, slope, { rtol, atol, isShared, direction, length: Math.abs(to - from) });
    const wasRejected = new Array<boolean>(rows).fill(false);
    while (times.some((t) => t !== to)) {
      const steps = h.map((size, row) => Math.min(size, maxStep, Math.abs(to - (times[row] as number))));
      checkSteps(steps, times, to);
      const before = { y, slope };
      [y, slope] = scope(() => {
        const { next, nextSlope, error } = attempt(slopeAt, times, y, slope, steps, direction);
        const size = y.abs().maximum(next.abs()).mul_(rtol).add_(atol);
        const norms = rootMeanSquares(error.div_(size), isShared);
        const accepted = norms.map((norm) => (norm < 1 ? 1 : 0));
        for (let row = 0; row < rows; row++) {
          const norm = norms[row] as number;
          if (times[row] === to) continue;
          const wanted = SAFETY * norm ** (-1 / dormandPrince.order);
          const step = steps[row] as number;
          if (accepted[row]) {
            const growth = Math.min(wasRejected[row] ? 1 : LARGEST_GROWTH, wanted);
            const left = Math.abs(to - (times[row] as number));
            times[row] = step === left ? to : (times[row] as number) + direction * step;
            h[row] = step * growth;
          } else {
            h[row] = step * (norm >= 1 ? Math.max(SMALLEST_GROWTH, wanted) : SMALLEST_GROWTH);
          }
          wasRejected[row] = !accepted[row];
        }
        if (accepted.every((value) => value === 1)) return [next, nextSlope] as const;
        const take = column(accepted, y).to({ dtype: "bool" });
        return [where(take, next, y), where(take, nextSlope, slope)] as const;
      });
      if (before.y !== start) before.y.dispose();
      before.slope.dispose();
      onStep?.(times, y);
    }
    return { y, evaluations };
  });
}

/** @throws IntegrationError when a row's next step is too short, or not a number. */
function checkSteps(steps: Float64Array, times: Float64Array, to: number): void {
  steps.forEach((step, row) => {
    const t = times[row] as number;
    // The last step may have any length.
    if (step === Math.abs(to - t) || step > 10 * Number.EPSILON * Math.abs(t)) return;
    throw new IntegrationError(
      `the differential equation could not be solved beyond time ${t.toPrecision(6)}: a step of ${step.toPrecision(3)} would be needed; increase the tolerances, and check that the network returns finite numbers`,
    );
  });
}

/** One step of each row, with an error estimate. */
function attempt(
  slopeAt: (times: Float64Array, y: Tensor) => Tensor,
  times: Float64Array,
  y: Tensor,
  slope: Tensor,
  steps: Float64Array,
  direction: number,
): { next: Tensor; nextSlope: Tensor; error: Tensor } {
  const { a, c, error } = dormandPrince;
  const signed = column(
    steps.map((step) => direction * step),
    y,
  );
  const slopes = [slope];
  const combined = (weights: readonly number[]): Tensor => {
    const sum = slope.mul(weights[0] as number);
    weights.forEach((weight, i) => {
      if (i > 0 && weight !== 0) sum.add_(slopes[i] as Tensor, { alpha: weight });
    });
    return sum.mul_(signed);
  };
  let next = y;
  for (let stage = 1; stage < c.length; stage++) {
    next = combined(a[stage] as readonly number[]).add_(y);
    const stageTimes = times.map((t, row) => t + direction * (c[stage] as number) * (steps[row] as number));
    slopes.push(slopeAt(stageTimes, next));
  }
  return { next, nextSlope: slopes.at(-1) as Tensor, error: combined(error) };
}

/** Initial step sizes (Hairer, Norsett and Wanner 1993, section II.4). */
function firstSteps(
  slopeAt: (times: Float64Array, y: Tensor) => Tensor,
  times: Float64Array,
  y: Tensor,
  slope: Tensor,
  {
    rtol,
    atol,
    isShared,
    direction,
    length,
  }: { rtol: number; atol: number; isShared: boolean; direction: number; length: number },
): Float64Array {
  return scope(() => {
    const size = y.abs().mul_(rtol).add_(atol);
    const norm = (values: Tensor): Float64Array => rootMeanSquares(values.div(size), isShared);
    const [d0, d1] = [norm(y), norm(slope)];
    const trial = d0.map((value, row) => {
      const slopeNorm = d1[row] as number;
      return Math.min(value < 1e-5 || slopeNorm < 1e-5 ? 1e-6 : (0.01 * value) / slopeNorm, length);
    });
    const signed = column(
      trial.map((step) => direction * step),
      y,
    );
    const moved = slopeAt(
      times.map((t, row) => t + direction * (trial[row] as number)),
      slope.mul(signed).add_(y),
    );
    const d2 = norm(moved.sub(slope)).map((value, row) => value / (trial[row] as number));
    return trial.map((step, row) => {
      const curvature = Math.max(d1[row] as number, d2[row] as number);
      const second = curvature <= 1e-15 ? Math.max(1e-6, step * 1e-3) : (0.01 / curvature) ** (1 / dormandPrince.order);
      return Math.min(100 * step, second, length);
    });
  });
}

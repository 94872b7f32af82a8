/** The curves of an analysis, in the units and over the axis that a reader chooses. */

import { BAND, formatNumber } from "../../src/pages/page-numbers.js";
import type { Measured } from "../../src/run/evaluation.js";
import type { LevelReport, ReferenceCount, VarianceReport } from "../../src/run/variance-report.js";
import type { Axis, Point, Region, Series } from "../common/line-chart.js";

/** What a variance or loss can be counted in. */
export type Unit = "denoiser" | "score" | "loss";

/** What can be on the x axis. */
export type Horizontal = "sigma" | "time";

/** The factor that turns a variance of the denoiser at a level into a unit. */
export const factorOf = ({ factors }: LevelReport, unit: Unit): number => (unit === "denoiser" ? 1 : factors[unit]);

/** Position of a level on the x axis. */
export const positionOf = (level: LevelReport, horizontal: Horizontal): number => level[horizontal];

/** Positions of all levels. */
export const positionsOf = ({ levels }: VarianceReport, horizontal: Horizontal): number[] =>
  levels.map((level) => positionOf(level, horizontal));

/** The x axis: logarithmic, but for times from 0 to 1. */
export function horizontalAxis(report: VarianceReport, horizontal: Horizontal): Axis {
  if (horizontal === "sigma") return { label: "noise level σ", log: true };
  const times = positionsOf(report, "time");
  const bounded = Math.max(...times) <= 1.001 || Math.min(...times) <= 0;
  return { label: `time of the process ${report.precond}`, log: !bounded };
}

/** Whether the time says anything that the noise level does not. */
export const hasOwnTime = ({ levels }: VarianceReport): boolean =>
  levels.some(({ sigma, time }) => Math.abs(sigma - time) > 1e-6 * sigma);

/** A measured number of which a part may be missing: in JSON, what is no number is null. */
export function known(measured: Measured | null | undefined): Measured {
  const value = measured?.value ?? Number.NaN;
  const error = measured?.error ?? undefined;
  return error === undefined ? { value } : { value, error };
}

/** A measured number, scaled, as a point with a band. */
export function pointOf(x: number, measured: Measured | null | undefined, factor = 1): Point {
  const { value: unscaled, error } = known(measured);
  const value = unscaled * factor;
  if (error === undefined || !Number.isFinite(value)) return { x, y: value };
  const reach = BAND * error * factor;
  return { x, y: value, low: value - reach, high: value + reach };
}

/** "V_DSM" for one reference, "V_STF(16)" for more. */
export const varianceName = (count: ReferenceCount): string =>
  count === 1 ? "V_DSM" : `V_STF(${count === "all" ? "all" : count})`;

/** Colours from few references to many: the denoising target apart, then lighter to darker. */
export function countColour(index: number, counts: number): string {
  if (index === 0) return "var(--dsm)";
  const shades = 5;
  const shade = counts <= 2 ? 2 : Math.round(((index - 1) / (counts - 2)) * (shades - 1));
  return `var(--stf-${shade + 1})`;
}

/** V_DSM and V_STF(n) over the noise level. */
export function varianceSeries(report: VarianceReport, unit: Unit, horizontal: Horizontal): Series[] {
  const { references, levels } = report;
  return references.map((count, k) => ({
    name: varianceName(count),
    colour: countColour(k, references.length),
    width: k === 0 ? 2.5 : 2,
    points: levels.map((level) => {
      const measured = k === 0 ? level.floor : level.stable[k];
      return pointOf(positionOf(level, horizontal), measured, factorOf(level, unit));
    }),
  }));
}

/** The paper's bound on V_STF(n), for each n that has one. */
export function boundSeries(report: VarianceReport, unit: Unit, horizontal: Horizontal): Series[] {
  const { references, levels } = report;
  return references.flatMap((count, k) => {
    const points = levels.map((level) => ({
      x: positionOf(level, horizontal),
      y: (level.bound[k] ?? Number.NaN) * factorOf(level, unit),
    }));
    if (points.every(({ y }) => !Number.isFinite(y))) return [];
    const name = `bound on ${varianceName(count)}`;
    return [{ name, colour: countColour(k, references.length), dash: "4,4", width: 1, points }];
  });
}

/** The three phases as ranges of the x axis. */
export function phaseRegions(report: VarianceReport, horizontal: Horizontal): Region[] {
  const { levels, phases } = report;
  const sigmas = levels.map(({ sigma }) => sigma);
  const positions = positionsOf(report, horizontal);
  const [first, last] = [sigmas[0], sigmas.at(-1)];
  if (first === undefined || last === undefined || first === last) return [];
  const inside = (sigma: number): number => Math.min(last, Math.max(first, sigma));
  const second = inside(phases.sourceUpTo ?? first);
  const third = Math.max(second, inside(phases.priorFrom ?? last));
  const range = (from: number, to: number): { readonly from: number; readonly to: number } => {
    const ends = [from, to].map((sigma) => interpolate(sigmas, positions, sigma));
    return { from: Math.min(...ends), to: Math.max(...ends) };
  };
  return [
    { ...range(first, second), label: "1 one source", short: "1", colour: "var(--phase-1)" },
    { ...range(second, third), label: "2 several sources", short: "2", colour: "var(--phase-2)" },
    { ...range(third, last), label: "3 all of the data", short: "3", colour: "var(--phase-3)" },
  ].filter(({ from, to }) => to > from);
}

/** Position on the x axis of any noise level, linear in the logarithm of the noise level between neighbours. */
function interpolate(sigmas: readonly number[], positions: readonly number[], sigma: number): number {
  const above = Math.max(
    1,
    sigmas.findIndex((other) => other >= sigma),
  );
  const [a, b] = [sigmas[above - 1] as number, sigmas[above] as number];
  const [p, q] = [positions[above - 1] as number, positions[above] as number];
  const part = Math.log(sigma / a) / Math.log(b / a);
  return p > 0 && q > 0 ? p * (q / p) ** part : p + (q - p) * part;
}

/** "σ = 1.23", with the time where it is another number. */
export function levelText(report: VarianceReport, index: number): string {
  const level = report.levels[index];
  if (level === undefined) return "no noise level";
  const time = hasOwnTime(report) ? `, time ${formatNumber(level.time, 4)}` : "";
  return `σ = ${formatNumber(level.sigma, 4)}${time}`;
}

/** The charts of the targets: their variance, its ratio to that of the denoising target, and the posterior. */

import { formatMeasured, formatNumber } from "../../src/pages/page-numbers.js";
import type { Measured } from "../../src/run/evaluation.js";
import type { LevelReport } from "../../src/run/variance-report.js";
import { checkbox, choice } from "../common/controls.js";
import { byId, element } from "../common/element.js";
import { type LevelChart, mountLevelChart } from "../common/level-chart.js";
import type { Point, Series } from "../common/line-chart.js";
import { Shared } from "../common/shared.js";
import {
  boundSeries,
  countColour,
  factorOf,
  type Horizontal,
  hasOwnTime,
  horizontalAxis,
  known,
  levelText,
  phaseRegions,
  pointOf,
  positionOf,
  positionsOf,
  type Unit,
  varianceName,
  varianceSeries,
} from "./curves.js";
import type { State } from "./state.js";

/** Choices of units, with what they mean. */
export const units = [
  { value: "denoiser", label: "denoiser", about: "per value of the clean image, as the network's input counts it" },
  { value: "score", label: "score", about: "per value of the score of the noisy image, 1/(s²σ⁴) times that" },
  { value: "loss", label: "training loss", about: "with the weight that training gives this noise level" },
] as const;

const unitNames: Readonly<Record<Unit, string>> = {
  denoiser: "per value, of the denoiser",
  score: "per value, of the score",
  loss: "in units of the training loss",
};

type Scale = "log" | "linear";

/** What every chart over the noise level has. */
export function overLevels({
  report,
  horizontal,
}: State): Pick<LevelChart, "x" | "positions" | "regions" | "levelText"> {
  return {
    x: horizontalAxis(report, horizontal.value),
    positions: positionsOf(report, horizontal.value),
    regions: phaseRegions(report, horizontal.value),
    levelText: (index) => levelText(report, index),
  };
}

/** Mounts the charts whose places are on the page. */
export function mountTargetCharts(state: State): void {
  const places = [
    { id: "variance-chart", mount: mountVariance },
    { id: "ratio-chart", mount: mountRatio },
    { id: "effective-chart", mount: mountEffective },
    { id: "source-chart", mount: mountSource },
    { id: "entropy-chart", mount: mountEntropy },
  ];
  for (const { id, mount } of places) {
    const host = byId(id);
    if (host) mount(host, state);
  }
}

/** The switch between noise level and time; it concerns all charts. */
function horizontalChoice({ horizontal }: State): HTMLElement {
  const choices = [
    { value: "sigma", label: "noise level σ" },
    { value: "time", label: "time" },
  ] as const;
  return choice<Horizontal>("x axis of all charts", choices, horizontal);
}

function mountVariance(host: HTMLElement, state: State): void {
  const { report, unit, horizontal } = state;
  const scale = new Shared<Scale>("log");
  const bounds = new Shared(false);
  const scales = [
    { value: "log", label: "log" },
    { value: "linear", label: "linear" },
  ] as const;
  const controls = element("div", { class: "controls" }, choice<Unit>("Units", units, unit));
  if (hasOwnTime(report)) controls.append(horizontalChoice(state));
  controls.append(choice<Scale>("y axis", scales, scale));
  if (boundSeries(report, "denoiser", "sigma").length > 0) controls.append(checkbox("the paper’s bound", bounds));
  host.append(controls);
  const redraw = mountLevelChart(
    host,
    () => {
      const added = bounds.value ? boundSeries(report, unit.value, horizontal.value) : [];
      const factor = (index: number): number => factorOf(report.levels[index] as LevelReport, unit.value);
      const measured = (k: number, index: number): Measured | undefined =>
        k === 0 ? report.levels[index]?.floor : report.levels[index]?.stable[k];
      return {
        title: "Variance of the targets over the noise level",
        ...overLevels(state),
        y: { label: `variance ${unitNames[unit.value]}`, log: scale.value === "log" },
        series: [...varianceSeries(report, unit.value, horizontal.value), ...added],
        values: (index) => [
          ...report.references.map((_, k) => formatMeasured(measured(k, index), factor(index))),
          ...added.map(({ points }) => formatNumber(points[index]?.y)),
        ],
      };
    },
    state.level,
  );
  for (const choice of [unit, horizontal, scale, bounds]) choice.onChange(redraw);
}

function mountRatio(host: HTMLElement, state: State): void {
  const { report, horizontal } = state;
  const counts = report.references.map((count, k) => ({ count, k })).slice(1);
  const redraw = mountLevelChart(
    host,
    () => ({
      title: "Variance of the stable target as a part of that of the denoising target",
      ...overLevels(state),
      y: { label: "part of the variance that is left", log: false },
      rules: [1],
      series: counts.map(({ count, k }) => ({
        name: varianceName(count),
        colour: countColour(k, report.references.length),
        points: report.levels.map((level) => pointOf(positionOf(level, horizontal.value), level.ratio[k])),
      })),
      values: (index) => counts.map(({ k }) => formatMeasured(report.levels[index]?.ratio[k])),
    }),
    state.level,
  );
  horizontal.onChange(redraw);
}

interface Quantity {
  readonly name: string;
  readonly label: string;
  readonly log: boolean;
  /** The least and the greatest value that there can be. */
  readonly limits: readonly [number, number];
  of(posterior: NonNullable<LevelReport["posterior"]>): Measured;
}

function mountQuantity(host: HTMLElement, state: State, quantity: Quantity): void {
  const { report, horizontal } = state;
  const measured = (level: LevelReport | undefined): Measured | undefined =>
    level?.posterior && quantity.of(level.posterior);
  const series = (): Series => ({
    name: quantity.name,
    colour: "var(--dsm)",
    points: report.levels.map((level): Point => pointOf(positionOf(level, horizontal.value), measured(level))),
  });
  const redraw = mountLevelChart(
    host,
    () => ({
      title: quantity.name,
      ...overLevels(state),
      y: { label: quantity.label, log: quantity.log, domain: roomFor(quantity) },
      rules: quantity.limits,
      series: [series()],
      values: (index) => [formatMeasured(measured(report.levels[index]))],
    }),
    state.level,
  );
  horizontal.onChange(redraw);
}

/** The range of an axis, with some room beyond the limits. */
function roomFor({ log, limits: [least, most] }: Quantity): [number, number] {
  if (log) return [least / 1.2, most * 1.5];
  return [least, least + 1.06 * Math.max(most - least, 1e-3)];
}

/** At most all images; for a distribution in closed form, which has none, as many as there seem to be. */
function mostSources({ report: { data, levels } }: State): number {
  return data.count ?? Math.max(1, ...levels.map(({ posterior }) => known(posterior?.effective).value || 1));
}

const mountEffective = (host: HTMLElement, state: State): void =>
  mountQuantity(host, state, {
    name: "effective number",
    label: "images, 1 / Σ w²",
    log: true,
    limits: [1, mostSources(state)],
    of: ({ effective }) => effective,
  });

const mountSource = (host: HTMLElement, state: State): void =>
  mountQuantity(host, state, {
    name: "weight of the source",
    label: "posterior weight",
    log: false,
    limits: [0, 1],
    of: ({ source }) => source,
  });

const mountEntropy = (host: HTMLElement, state: State): void =>
  mountQuantity(host, state, {
    name: "entropy",
    label: "nats",
    log: false,
    limits: [0, Math.log(mostSources(state))],
    of: ({ entropy }) => entropy,
  });

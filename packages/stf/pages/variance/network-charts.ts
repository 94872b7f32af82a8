/** The charts of networks: what each has not learnt, what it has memorised, and its raw losses. */

import { memorisedShare, unlearntShare } from "../../src/pages/network-shares.js";
import { formatMeasured } from "../../src/pages/page-numbers.js";
import type { Measured } from "../../src/run/evaluation.js";
import type { LevelReport, NetworkLevel } from "../../src/run/variance-report.js";
import { choice } from "../common/controls.js";
import { byId, element } from "../common/element.js";
import { mountLevelChart } from "../common/level-chart.js";
import type { Series } from "../common/line-chart.js";
import { Shared } from "../common/shared.js";
import { factorOf, pointOf, positionOf, type Unit } from "./curves.js";
import type { State } from "./state.js";
import { overLevels, units } from "./target-charts.js";

/** Colour of the network with this number. */
export const networkColour = (index: number): string => `var(--category-${(index % 5) + 1})`;

/** The last part of a path without its extension, or more of it where that would not tell files apart. */
export function shortNames(files: readonly string[]): readonly string[] {
  const parts = files.map((file) => file.split("/").filter((part) => part !== ""));
  for (let length = 1; length < 8; length += 1) {
    const names = parts.map((part) =>
      part
        .slice(-length)
        .join("/")
        .replace(/\.(?:safetensors|pkl|pth?)$/, ""),
    );
    if (new Set(names).size === new Set(files).size) return names;
  }
  return files;
}

/** Mounts the charts whose places are on the page. */
export function mountNetworkCharts(state: State): void {
  const [unlearnt, memorised, losses] = ["unlearnt-chart", "memorised-chart", "loss-chart"].map(byId);
  if (unlearnt)
    mountShares(unlearnt, state, {
      title: "Share not learnt",
      label: "of what can be explained",
      of: (network, level) => unlearntShare(network, level, state.report.data.variance),
    });
  if (memorised) {
    mountShares(memorised, state, {
      title: "Share memorised",
      label: "of the gap of the exact denoiser",
      of: memorisedShare,
    });
  }
  if (losses) mountLosses(losses, state);
}

interface Share {
  readonly title: string;
  readonly label: string;
  of(network: NetworkLevel, level: LevelReport): Measured;
}

function mountShares(host: HTMLElement, state: State, share: Share): void {
  const { report, horizontal } = state;
  const names = shortNames(report.networks.map(({ file }) => file));
  const measured = report.networks.map(({ levels }) =>
    levels.map((level, k) => share.of(level, report.levels[k] as LevelReport)),
  );
  const redraw = mountLevelChart(
    host,
    () => ({
      title: share.title,
      ...overLevels(state),
      y: { label: share.label, log: false, domain: domainOfShares(measured.flat()) },
      rules: [0, 1],
      series: measured.map(
        (values, k): Series => ({
          name: names[k] as string,
          colour: networkColour(k),
          points: values.map((value, index) =>
            pointOf(positionOf(report.levels[index] as LevelReport, horizontal.value), value),
          ),
        }),
      ),
      values: (index) => measured.map((values) => formatMeasured(values[index])),
    }),
    state.level,
  );
  horizontal.onChange(redraw);
}

/** From 0 to the largest value, but for noise alone no narrower, and a wild value may leave the chart. */
function domainOfShares(values: readonly Measured[]): [number, number] {
  const numbers = values.map(({ value }) => value).filter(Number.isFinite);
  return [Math.max(-0.5, Math.min(-0.02, ...numbers)), 1.2 * Math.min(1.5, Math.max(0.2, ...numbers))];
}

function mountLosses(host: HTMLElement, state: State): void {
  const { report, horizontal } = state;
  const names = shortNames(report.networks.map(({ file }) => file));
  const chosen = new Shared("0");
  const unit = new Shared<Unit>("denoiser");
  const controls = element("div", { class: "controls" });
  const networks = names.map((label, k) => ({ value: String(k), label }));
  if (networks.length > 1) controls.append(choice("Network", networks, chosen));
  controls.append(choice<Unit>("Units", units, unit));
  host.append(controls);
  const redraw = mountLevelChart(
    host,
    () => {
      const index = Number(chosen.value);
      const curves = lossCurves(state, index);
      return {
        title: `Losses of ${names[index]}`,
        ...overLevels(state),
        y: { label: "squared error per value", log: true },
        series: curves.map(({ of, ...style }) => ({
          ...style,
          points: report.levels.map((level, k) =>
            pointOf(positionOf(level, horizontal.value), of(k), factorOf(level, unit.value)),
          ),
        })),
        values: (k) =>
          curves.map(({ of }) => formatMeasured(of(k), factorOf(report.levels[k] as LevelReport, unit.value))),
      };
    },
    state.level,
  );
  for (const choice of [chosen, unit, horizontal]) choice.onChange(redraw);
}

interface LossCurve {
  readonly name: string;
  readonly colour: string;
  readonly dash?: string;
  of(index: number): Measured | undefined;
}

function lossCurves({ report }: State, network: number): readonly LossCurve[] {
  const levels = report.networks[network]?.levels ?? [];
  const colour = networkColour(network);
  const always: LossCurve[] = [
    { name: "floor", colour: "var(--muted)", of: (k) => report.levels[k]?.floor },
    { name: "loss on training images", colour, of: (k) => levels[k]?.seen.loss },
    { name: "excess over the floor", colour, dash: "2,3", of: (k) => levels[k]?.seen.excess },
  ];
  if (levels.every(({ unseen }) => unseen === undefined)) return always;
  const analytic: LossCurve = {
    name: "analytic denoiser on unseen images",
    colour: "var(--text)",
    dash: "1,3",
    of: (k) => levels[k]?.unseen?.analytic?.loss,
  };
  return [
    ...always,
    { name: "loss on unseen images", colour, dash: "7,4", of: (k) => levels[k]?.unseen?.loss },
    {
      name: "exact denoiser on unseen images",
      colour: "var(--muted)",
      dash: "7,4",
      of: (k) => levels[k]?.unseen?.exact,
    },
    ...(levels.some(({ unseen }) => unseen?.analytic !== undefined) ? [analytic] : []),
  ];
}

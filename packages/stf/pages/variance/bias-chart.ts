/** The chart of the regression bias: an interval for each kind of target at each noise level. */

import * as Plot from "@observablehq/plot";
import { BAND, formatMeasured, formatNumber, formatTick } from "../../src/pages/page-numbers.js";
import { byId, element } from "../common/element.js";
import { known } from "./curves.js";
import { networkColour } from "./network-charts.js";
import type { State } from "./state.js";

const HEIGHT = 300;

interface Interval {
  readonly level: string;
  readonly kind: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly colour: string;
  readonly about: string;
}

/** Mounts the chart if its place is on the page. */
export function mountBiasChart({ report }: State): void {
  const host = byId("bias-chart");
  if (!host) return;
  const intervals = report.bias.flatMap(({ name, levels }, k) =>
    levels.map(({ sigma, squaredBias }): Interval => {
      const { value, error = 0 } = known(squaredBias);
      const reach = BAND * error;
      const level = `σ = ${formatNumber(sigma, 3)}`;
      const about = `${name}, ${level}: ${formatMeasured(squaredBias)}`;
      return { level, kind: name, value, low: value - reach, high: value + reach, colour: networkColour(k), about };
    }),
  );
  const names = report.bias.map(({ name }) => name);
  const legend = element("ul", { class: "legend" });
  for (const [k, name] of names.entries()) {
    const sample = element("span", { class: "swatch" });
    sample.style.background = networkColour(k);
    legend.append(element("li", {}, sample, element("span", {}, name)));
  }
  const plot = element("div", { class: "plot" });
  host.append(legend, plot);
  new ResizeObserver(() => draw(plot, intervals, names)).observe(plot);
}

function draw(plot: HTMLElement, intervals: readonly Interval[], names: readonly string[]): void {
  const width = Math.max(260, Math.floor(plot.clientWidth));
  if (plot.firstElementChild?.getAttribute("width") === String(width)) return;
  const drawing = Plot.plot({
    width,
    height: HEIGHT,
    marginLeft: 52,
    marginTop: 26,
    marginBottom: 44,
    style: { background: "transparent", color: "inherit", fontSize: "12px", fontFamily: "inherit" },
    fx: { domain: [...new Set(intervals.map(({ level }) => level))], label: null, axis: "bottom", padding: 0.15 },
    x: { domain: [...names], axis: null, padding: 0.6 },
    y: {
      label: "squared bias per value",
      labelArrow: "none",
      grid: true,
      tickSize: 0,
      ticks: 5,
      tickFormat: formatTick,
    },
    marks: [
      Plot.ruleY([0], { strokeOpacity: 0.6 }),
      Plot.ruleX(intervals, { fx: "level", x: "kind", y1: "low", y2: "high", stroke: "colour", strokeWidth: 2 }),
      Plot.dot(intervals, { fx: "level", x: "kind", y: "value", fill: "colour", r: 4, title: "about" }),
    ],
  });
  drawing.setAttribute("role", "img");
  drawing.setAttribute("aria-label", `Squared bias: ${intervals.map(({ about }) => about).join("; ")}`);
  plot.replaceChildren(drawing);
}

/** The main curves of an analysis as an SVG file, drawn in Node. */

import { parseHTML } from "linkedom";
import type { VarianceReport } from "../src/run/variance-report.js";
import { type Drawing, drawLineChart, type Series } from "./common/line-chart.js";
import { horizontalAxis, type Unit, varianceSeries } from "./variance/curves.js";

const WIDTH = 460;
const HEIGHT = 320;
const LEGEND = 30;

const panels: readonly { readonly unit: Unit; readonly label: string }[] = [
  { unit: "denoiser", label: "variance per value, of the denoiser" },
  { unit: "score", label: "variance per value, of the score" },
];

/** Colours of the page, for white paper. */
const paper: Readonly<Record<string, string>> = {
  "var(--dsm)": "#d55e00",
  "var(--stf-1)": "#35b779",
  "var(--stf-2)": "#1f9e89",
  "var(--stf-3)": "#2a788e",
  "var(--stf-4)": "#3b528b",
  "var(--stf-5)": "#472d7b",
};

/** V_DSM and V_STF(n) over the noise level, in units of the denoiser and of the score, as the text of an SVG file. */
export function variancePlot(report: VarianceReport): string {
  const { document } = parseHTML("<!doctype html><html><body></body></html>");
  // All references of a data set have no variance, which a logarithmic axis cannot show.
  const seriesIn = (unit: Unit): Series[] =>
    varianceSeries(report, unit, "sigma")
      .filter(({ points }) => points.some(({ y }) => y > 0))
      .map((series) => ({ ...series, colour: paper[series.colour] ?? series.colour }));
  const drawings = panels.map(({ unit, label }, k): Drawing => {
    const series = seriesIn(unit);
    const chart = { x: horizontalAxis(report, "sigma"), y: { label, log: true }, series };
    const drawing = drawLineChart(chart, { width: WIDTH, height: HEIGHT, document });
    drawing.setAttribute("id", unit);
    drawing.setAttribute("x", String(k * WIDTH));
    drawing.setAttribute("y", String(LEGEND));
    return drawing;
  });
  const width = panels.length * WIDTH;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT + LEGEND}" width="${width}" height="${HEIGHT + LEGEND}" font-family="Helvetica, Arial, sans-serif" font-size="12" color="#222" fill="#222">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    legend(seriesIn("denoiser")),
    ...drawings.map((drawing) => drawing.outerHTML),
    "</svg>\n",
  ].join("\n");
}

function legend(series: readonly Series[]): string {
  let left = 46;
  const entries = series.map(({ name, colour }) => {
    const [, index = "", rest = ""] = /^V_(DSM|STF)(.*)$/.exec(name) ?? [];
    const text = `<tspan font-style="italic">V</tspan><tspan font-size="9" dy="3">${index}</tspan><tspan dy="-3">${rest}</tspan>`;
    const line = `<line x1="${left}" x2="${left + 22}" y1="16" y2="16" stroke="${colour}" stroke-width="2.5"/>`;
    const entry = `${line}<text x="${left + 28}" y="20">${text}</text>`;
    left += 70 + rest.length * 7;
    return entry;
  });
  return `<g>${entries.join("")}</g>`;
}

/**
 * A chart over noise levels with a legend that shows the values of all curves at one level. The pointer chooses the level, and so do
 * the arrow keys while the chart has the focus; all charts of a page follow.
 */

import { element, symbol } from "./element.js";
import { type Drawing, drawLineChart, type LineChart } from "./line-chart.js";
import type { Shared } from "./shared.js";

/** A chart, and what its legend says. */
export interface LevelChart extends LineChart {
  /** Name for screen readers. */
  readonly title: string;
  /** The positions of the levels on the x axis. */
  readonly positions: readonly number[];
  /** A level in words: "σ = 1.2". */
  levelText(index: number): string;
  /** The value of each curve at a level, in the order of the curves. */
  values(index: number): readonly string[];
}

const SVG = "http://www.w3.org/2000/svg";

/** Puts a chart into an element, draws it again when the width changes, and returns what draws it again otherwise. */
export function mountLevelChart(host: HTMLElement, chart: () => LevelChart, level: Shared<number>): () => void {
  const legend = element("ul", { class: "legend" });
  const where = element("p", { class: "where" });
  const plot = element("div", { class: "plot", tabindex: "0", role: "slider" });
  host.append(where, legend, plot);
  let current = chart();
  let drawing: Drawing | undefined;
  const show = (): void => {
    const index = Math.min(level.value, current.positions.length - 1);
    const values = current.values(index);
    where.textContent = `At ${current.levelText(index)}`;
    for (const [k, value] of values.entries()) {
      const output = legend.children[k]?.querySelector("output");
      if (output) output.textContent = value;
    }
    const words = current.series.map(({ name }, k) => `${name}: ${values[k]}`);
    plot.setAttribute("aria-valuenow", String(index));
    plot.setAttribute("aria-valuetext", [current.levelText(index), ...words].join(", "));
    if (drawing) drawMarker(drawing, current, index);
  };
  const draw = (): void => {
    current = chart();
    plot.setAttribute("aria-label", current.title);
    plot.setAttribute("aria-valuemin", "0");
    plot.setAttribute("aria-valuemax", String(current.positions.length - 1));
    legend.replaceChildren(...current.series.map(legendEntry));
    const width = Math.max(260, Math.floor(plot.clientWidth));
    const height = Math.round(Math.min(420, Math.max(250, width * 0.5)));
    drawing = drawLineChart(current, { width, height, document });
    drawing.setAttribute("aria-hidden", "true");
    plot.replaceChildren(drawing);
    show();
  };
  new ResizeObserver(() => {
    if (drawing?.getAttribute("width") !== String(Math.max(260, Math.floor(plot.clientWidth)))) draw();
  }).observe(plot);
  draw();
  level.onChange(show);
  listen(plot, level, { chart: () => current, drawing: () => drawing });
  return draw;
}

function legendEntry({ name, colour, dash, width = 2 }: LevelChart["series"][number]): HTMLElement {
  const sample = document.createElementNS(SVG, "svg");
  sample.setAttribute("class", "sample");
  sample.setAttribute("viewBox", "0 0 26 8");
  const line = document.createElementNS(SVG, "line");
  const attributes = { x1: 0, x2: 26, y1: 4, y2: 4, "stroke-width": width + 1, "stroke-dasharray": dash ?? "none" };
  for (const [key, value] of Object.entries(attributes)) line.setAttribute(key, String(value));
  line.style.stroke = colour;
  sample.append(line);
  return element("li", {}, sample, element("span", {}, ...symbol(name)), element("output", {}));
}

/** A vertical line through the level, and a dot on each curve. */
function drawMarker(drawing: Drawing, chart: LevelChart, index: number): void {
  const x = drawing.scale("x");
  const y = drawing.scale("y");
  const position = chart.positions[index];
  if (!x || !y || position === undefined) return;
  const group = document.createElementNS(SVG, "g");
  group.setAttribute("class", "marker");
  const [low, high] = y.range as [number, number];
  const left = x.apply(position);
  const add = (name: string, attributes: Readonly<Record<string, string | number>>): SVGElement => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    group.append(made);
    return made;
  };
  add("line", { x1: left, x2: left, y1: low, y2: high });
  for (const { points, colour } of chart.series) {
    const point = points.find((one) => one.x === position);
    if (point === undefined || !Number.isFinite(point.y) || (chart.y.log && point.y <= 0)) continue;
    const top = y.apply(point.y);
    if (top >= Math.min(low, high) && top <= Math.max(low, high))
      add("circle", { cx: left, cy: top, r: 4 }).style.fill = colour;
  }
  drawing.querySelector(".marker")?.remove();
  drawing.append(group);
}

interface Shown {
  chart(): LevelChart;
  drawing(): Drawing | undefined;
}

function listen(plot: HTMLElement, level: Shared<number>, { chart, drawing }: Shown): void {
  const follow = (event: PointerEvent): void => {
    const x = drawing()?.scale("x");
    if (!x) return;
    const pointer = event.clientX - plot.getBoundingClientRect().left;
    const distances = chart().positions.map((position) => Math.abs(x.apply(position) - pointer));
    level.value = distances.indexOf(Math.min(...distances));
  };
  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("keydown", (event) => {
    const last = chart().positions.length - 1;
    const steps: Readonly<Record<string, number>> = {
      ArrowRight: 1,
      ArrowUp: 1,
      ArrowLeft: -1,
      ArrowDown: -1,
      PageUp: 5,
      PageDown: -5,
      Home: -last,
      End: last,
    };
    const step = steps[event.key];
    if (step === undefined) return;
    event.preventDefault();
    level.value = Math.min(last, Math.max(0, level.value + step));
  });
}

/** Curves with error bands, drawn by Observable Plot; the same code draws in a browser and, with a DOM of its own, in Node. */

import * as Plot from "@observablehq/plot";
import { formatTick } from "../../src/pages/page-numbers.js";

/** A point of a curve, which is interrupted where y is no number. */
export interface Point {
  readonly x: number;
  readonly y: number;
  /** The band around it; no band where it has none. */
  readonly low?: number;
  readonly high?: number;
}

/** A curve. */
export interface Series {
  readonly name: string;
  /** A colour of CSS, possibly "var(--name)". */
  readonly colour: string;
  /** Dash pattern of SVG; solid without. */
  readonly dash?: string;
  /** Width of the line in pixels. */
  readonly width?: number;
  readonly points: readonly Point[];
}

/** An axis. */
export interface Axis {
  readonly label: string;
  readonly log: boolean;
  /** From the curves if left out. */
  readonly domain?: readonly [number, number];
}

/** A range of x with a meaning. */
export interface Region {
  readonly from: number;
  readonly to: number;
  readonly label: string;
  /** Where there is no room for the label. */
  readonly short: string;
  readonly colour: string;
}

/** What a chart shows. */
export interface LineChart {
  readonly x: Axis;
  readonly y: Axis;
  readonly series: readonly Series[];
  readonly regions?: readonly Region[];
  /** Values of y to compare with. */
  readonly rules?: readonly number[];
}

/** Size of a drawing in pixels, and the document to which it will belong. */
export interface Canvas {
  readonly width: number;
  readonly height: number;
  readonly document: Document;
}

/** A drawing that knows its scales. */
export type Drawing = (SVGSVGElement | HTMLElement) & Plot.Plot;

/** A curve on a logarithmic axis is followed over so many powers of ten below the largest value. */
const DECADES = 4.5;
/** A curve with fewer points shows each of them. */
const FEW_POINTS = 13;
/** Room above the curves for the labels of regions. */
const LABEL_HEIGHT = 20;

/** Draws a chart. */
export function drawLineChart(chart: LineChart, { width, height, document }: Canvas): Drawing {
  const { series, regions = [], rules = [] } = chart;
  const xDomain = chart.x.domain ?? domainOfX(chart);
  const yDomain = chart.y.domain ?? domainOfY(chart);
  const margins = {
    marginLeft: 46,
    marginRight: 14,
    marginTop: 26 + (regions.length > 0 ? LABEL_HEIGHT : 0),
    marginBottom: 36,
  };
  const plotWidth = width - margins.marginLeft - margins.marginRight;
  const below = chart.y.log ? yDomain[0] / 1e3 : Number.NEGATIVE_INFINITY;
  const onAxis = (y: number): number => (Number.isFinite(y) ? Math.max(y, below) : Number.NaN);
  return Plot.plot({
    document,
    width,
    height,
    ...margins,
    style: { background: "transparent", color: "inherit", fontSize: "12px", fontFamily: "inherit" },
    x: { type: chart.x.log ? "log" : "linear", domain: [...xDomain], axis: null },
    y: { type: chart.y.log ? "log" : "linear", domain: [...yDomain], axis: null },
    marks: [
      Plot.gridY(ticksOf(chart.y, yDomain, height / 50)),
      Plot.axisX(ticksOf(chart.x, xDomain, plotWidth / 45), axisOptions(chart.x)),
      Plot.axisY(ticksOf(chart.y, yDomain, height / 50), axisOptions(chart.y)),
      ...regionMarks(regions, { chart, xDomain, plotWidth }),
      rules.map((y) => Plot.ruleY([y], { stroke: "currentColor", strokeOpacity: 0.6, strokeDasharray: "2,3" })),
      series.map(({ points, colour }) =>
        Plot.areaY(
          points.filter(({ low, high }) => low !== undefined && high !== undefined),
          {
            x: "x",
            y1: ({ low }: Point) => onAxis(low as number),
            y2: ({ high }: Point) => onAxis(high as number),
            fill: colour,
            fillOpacity: 0.18,
            clip: true,
          },
        ),
      ),
      series.map(({ points, colour, dash, width: strokeWidth = 2 }) =>
        Plot.lineY(points, {
          x: "x",
          y: ({ y }: Point) => onAxis(y),
          stroke: colour,
          strokeWidth,
          ...(dash === undefined ? {} : { strokeDasharray: dash }),
          clip: true,
        }),
      ),
      series
        .filter(({ points }) => points.length < FEW_POINTS)
        .map(({ points, colour }) =>
          Plot.dot(points, { x: "x", y: ({ y }: Point) => onAxis(y), r: 3, fill: colour, clip: true }),
        ),
    ],
  }) as Drawing;
}

// Ticks and their texts are given to the axes, since scales choose among them on logarithmic axes.
const axisOptions = ({ label }: Axis): Plot.AxisXOptions & Plot.AxisYOptions => ({
  label,
  labelArrow: "none",
  tickSize: 0,
  text: formatTick,
});

/** Where an axis has numbers. */
function ticksOf({ log }: Axis, domain: readonly [number, number], most: number): number[] {
  return log ? logTicks(domain, most) : linearTicks(domain, most);
}

/** Multiples of 1, 2 or 5 times a power of ten. */
export function linearTicks([low, high]: readonly [number, number], most: number): number[] {
  const smallest = (high - low) / Math.max(2, most);
  const power = Math.floor(Math.log10(smallest));
  const factor = [1, 2, 5, 10].find((candidate) => candidate * 10 ** power >= smallest * (1 - 1e-9)) ?? 10;
  const first = Math.ceil(low / (factor * 10 ** power) - 1e-9);
  const last = Math.floor(high / (factor * 10 ** power) + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => Number(`${(first + k) * factor}e${power}`));
}

/** Powers of ten, or 1, 2 and 5 times those where there is room. */
export function logTicks([low, high]: readonly [number, number], most: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const candidates = (factors: readonly number[], every: number): number[] =>
    Array.from({ length: last - first + 1 }, (_, k) => first + k)
      .filter((exponent) => exponent % every === 0)
      .flatMap((exponent) => factors.map((factor) => Number(`${factor}e${exponent}`)))
      .filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
  const choices = [candidates([1, 2, 5], 1), candidates([1, 3], 1), candidates([1], 1), candidates([1], 2)];
  return choices.find((ticks) => ticks.length <= Math.max(3, most)) ?? candidates([1], 4);
}

function domainOfX({ x, series }: LineChart): [number, number] {
  const values = series.flatMap(({ points }) => points.map((point) => point.x)).filter((value) => usable(value, x.log));
  if (values.length === 0) return x.log ? [0.1, 10] : [0, 1];
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (high > low) return [low, high];
  return x.log ? [low / 2, low * 2] : [low - 0.5, low + 0.5];
}

const usable = (value: number, log: boolean): boolean => Number.isFinite(value) && (!log || value > 0);

function domainOfY({ y, series, rules = [] }: LineChart): [number, number] {
  const points = series.flatMap((one) => one.points);
  const middles = [...points.map((point) => point.y), ...rules].filter((value) => usable(value, y.log));
  const ends = points.flatMap(({ low, high }) => [low, high]).filter((value) => value !== undefined);
  const all = [...middles, ...ends.filter((value) => usable(value, y.log))];
  if (middles.length === 0) return y.log ? [1e-3, 1] : [0, 1];
  const high = Math.max(...all);
  if (y.log) return [Math.max(Math.min(...middles) / 1.5, high / 10 ** DECADES), high * 1.5];
  const low = Math.min(0, ...all);
  return [low, high > low ? high + 0.04 * (high - low) : low + 1];
}

interface RegionSpace {
  readonly chart: LineChart;
  readonly xDomain: readonly [number, number];
  readonly plotWidth: number;
}

/** Shades and labels; a label that has no room gives way to its short form, and that to nothing. */
function regionMarks(regions: readonly Region[], { chart, xDomain, plotWidth }: RegionSpace): Plot.Markish[] {
  const place = chart.x.log ? Math.log : (x: number): number => x;
  const unplace = chart.x.log ? Math.exp : (x: number): number => x;
  const [left, right] = [place(xDomain[0]), place(xDomain[1])];
  const labelled = regions.map((region) => {
    const from = Math.max(left, place(region.from));
    const to = Math.min(right, place(region.to));
    const room = ((to - from) / (right - left)) * plotWidth;
    const text = [region.label, region.short].find((label) => label.length * 6.6 < room) ?? "";
    return { x1: unplace(from), x2: unplace(to), middle: unplace((from + to) / 2), text, colour: region.colour };
  });
  const shown = labelled.filter(({ x1, x2 }) => x2 > x1);
  return [
    Plot.rectX(shown, { x1: "x1", x2: "x2", fill: "colour" }),
    Plot.text(shown, { x: "middle", text: "text", frameAnchor: "top", dy: -16, fontWeight: 600, fillOpacity: 0.75 }),
  ];
}

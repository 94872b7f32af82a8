/** An analysis as lines of text. */

import { LEAST_EXPLAINABLE } from "../analysis/findings.js";
import { formatLevel } from "../common/text.js";
import type { Measured } from "../run/evaluation.js";
import type { LevelReport, NetworkReport, VarianceReport } from "../run/variance-report.js";

/** Rows of the printed tables; the files have all levels. */
const MOST_ROWS = 12;

/** Below this fraction of the data's variance the denoising target does not vary, and nothing is to be seen. */
const VISIBLE = 1e-6;

/** Positions of some levels, evenly spread over those where something is to be seen. */
function spread({ levels, data }: Pick<VarianceReport, "levels" | "data">): number[] {
  const first = Math.max(0, levels.findIndex(({ floor }) => floor.value > VISIBLE * data.variance) - 1);
  const count = levels.length - first;
  const rows = Math.min(MOST_ROWS, count);
  return Array.from({ length: rows }, (_, i) => first + (rows > 1 ? Math.round((i * (count - 1)) / (rows - 1)) : 0));
}

function digits(value: number): string {
  const isTiny = Math.abs(value) < 1e-3;
  return value === 0 ? "0" : isTiny ? value.toExponential(1) : value.toPrecision(3);
}

/** Errors below this part of a value are those of rounding. */
const ROUNDING = 1e-9;

const errorDigits = (error: number): string =>
  error < 1e-3 ? error.toExponential(0) : Number(error.toPrecision(1)).toString();

const shown = ({ value, error = 0 }: Measured): string =>
  error > ROUNDING * Math.abs(value) ? `${digits(value)} +- ${errorDigits(error)}` : digits(value);

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;

/** Columns aligned at the right, under their headings. */
function table(headings: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [headings, ...rows];
  const widths = headings.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)));
  return all.map((row) => row.map((cell, column) => cell.padStart(widths[column] as number)).join("  "));
}

function varianceTable({ levels, references, data }: VarianceReport): string[] {
  if (data.variance === 0) return [];
  const numbers = references.flatMap((count, k) => (count === 1 || count === "all" ? [] : [{ count, k }]));
  const rows = spread({ levels, data }).map((i) => {
    const { sigma, floor, ratio, posterior } = levels[i] as LevelReport;
    return [
      formatLevel(sigma),
      shown(floor),
      ...numbers.map(({ k }) => (floor.value > VISIBLE * data.variance ? shown(ratio[k] as Measured) : "-")),
      ...(posterior ? [digits(posterior.effective.value)] : []),
    ];
  });
  const isCounted = levels[0]?.posterior !== undefined;
  return table(
    [
      "sigma",
      "V_DSM = floor",
      ...numbers.map(({ count }) => `V_STF(${count})/V_DSM`),
      ...(isCounted ? ["effective sources"] : []),
    ],
    rows,
  );
}

function networkTable({ file, levels: errors }: NetworkReport, { levels, data }: VarianceReport): string[] {
  const hasUnseen = errors[0]?.unseen !== undefined;
  const hasAnalytic = errors[0]?.unseen?.analytic !== undefined;
  const rows = spread({ levels, data }).map((i) => {
    const { seen, unseen } = errors[i] as NetworkReport["levels"][number];
    const { explainable } = levels[i] as LevelReport;
    const hasMeaning = seen.explained && explainable.value > LEAST_EXPLAINABLE * data.variance;
    return [
      formatLevel((levels[i] as LevelReport).sigma),
      shown(seen.loss),
      digits((levels[i] as LevelReport).floor.value),
      shown(seen.excess),
      hasMeaning ? `${(100 * seen.explained.value).toFixed(1)} %` : "-",
      ...(unseen ? [shown(unseen.loss), shown(unseen.gap), shown(unseen.exact)] : []),
      ...(hasAnalytic ? [shown(unseen?.analytic?.loss as Measured)] : []),
    ];
  });
  const more = [
    ...(hasUnseen ? ["unseen loss", "gap", "posterior mean, unseen"] : []),
    ...(hasAnalytic ? ["analytic, unseen"] : []),
  ];
  return [file, ...table(["sigma", "loss", "floor", "excess", "explained", ...more], rows)];
}

function biasTable({ bias }: VarianceReport): string[] {
  const [first] = bias;
  if (!first) return [];
  const rows = bias.map(({ name, levels }) => [name, ...levels.map(({ squaredBias }) => shown(squaredBias))]);
  return table(
    [
      `squared bias of targets of ${counted(first.references as number, "reference")}; sigma:`,
      ...first.levels.map(({ sigma }) => formatLevel(sigma)),
    ],
    rows,
  );
}

/** The report: tables, sentences, and the options that follow. */
export function describeVariance(report: VarianceReport): string[] {
  const { data, findings, suggested } = report;
  const mirrored = report.protocol.method["data"]?.["xflip"] === true ? " with their mirror images" : "";
  const size = data.count === null ? "a distribution" : `${counted(data.count, "image")}${mirrored}`;
  return [
    `${data.name}: ${size} in ${counted(data.dimension, "dimension")}, variance ${digits(data.variance)} per value`,
    ...varianceTable(report),
    ...report.networks.flatMap((network) => networkTable(network, report)),
    ...biasTable(report),
    ...findings,
    ...(suggested.options.length > 0 ? [`options for stf train: ${suggested.options.join(" ")}`] : []),
  ];
}

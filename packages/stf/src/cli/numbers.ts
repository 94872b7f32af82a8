/** Quality numbers as lines of text. */

import { formatLevel } from "../common/text.js";
import {
  type Evaluation,
  formatMeasured,
  type Measured,
  type MetricName,
  metricLabel,
  metricNames,
} from "../run/evaluation.js";
import type { Facts, Protocol } from "../run/protocol.js";

/** Units, and what a difference is a difference of. */
const units: Partial<Readonly<Record<MetricName, string>>> = {
  mean: "grey levels from the reference",
  contrast: "grey levels from the reference",
  copies: "of the images",
};

/** "fid5k 12.3": a number with its name. */
export const numberOf = (name: MetricName, { values, protocol }: Evaluation): string =>
  [metricLabel(name, protocol), formatMeasured(values[name] as Measured), units[name]].filter(Boolean).join(" ");

const short = (digest: unknown): string => String(digest).slice(0, 8);

/** How images were drawn, with every option that is not a default. */
function drawingLine({ subject, method }: Protocol): string | undefined {
  const { drawing } = method;
  if (!drawing) return undefined;
  const { sampler, steps, weights = "averaged", ...others } = drawing;
  const { evaluations, analyticEvaluations, analyticAbove: level, analyticData: images } = subject;
  const cost = evaluations === undefined ? "" : ` (${evaluations} evaluations)`;
  const known = analyticEvaluations === undefined ? "" : ` (${analyticEvaluations} evaluations)`;
  const named = Object.entries(others).map(([name, fact]) => `${name} ${name.endsWith("sha256") ? short(fact) : fact}`);
  const exact = images === undefined ? "" : ` over images ${short(images)}`;
  const place = typeof level === "number" ? `analytic above ${formatLevel(level)}${exact}${known}` : "network alone";
  const analytic = level === undefined ? [] : [place];
  return [`${sampler}, ${steps} steps${cost}`, ...analytic, ...named, `${weights} weights`].join(", ");
}

/** How numbers were obtained, in one line. */
function methodLine(protocol: Protocol): string {
  const part = (name: string): Facts => protocol.method[name] ?? {};
  const [images, features, reference] = ["images", "features", "reference"].map(part) as [Facts, Facts, Facts];
  const from = images["seeds"] === undefined ? "" : `, seeds ${images["seeds"]}`;
  const resized = features["resize"] === "none" ? "not resized" : `resized by ${features["resize"]}`;
  return [
    `${images["count"]} images${from}`,
    drawingLine(protocol),
    features["name"] !== undefined && `features ${features["name"]} ${short(features["sha256"])}, ${resized}`,
    reference["sha256"] !== undefined && `reference ${reference["count"]} images ${short(reference["sha256"])}`,
    reference["statistics_sha256"] !== undefined && `reference statistics ${short(reference["statistics_sha256"])}`,
  ]
    .filter(Boolean)
    .join("; ");
}

/** What was evaluated. */
function subjectOf({ subject }: Evaluation["protocol"]): string {
  const trained = subject["trained"] === undefined ? "" : ` after ${subject["trained"]} images`;
  return `${subject["images"] ?? subject["network"]}${trained}`;
}

/** An evaluation, line by line. */
export function describeEvaluation(evaluation: Evaluation): string[] {
  const names = metricNames.filter((name) => evaluation.values[name] !== undefined);
  return [
    subjectOf(evaluation.protocol),
    ...names.map((name) => `  ${numberOf(name, evaluation)}`),
    `  ${methodLine(evaluation.protocol)}`,
  ];
}

/** Evaluations obtained alike, as a table: the method once, and a line for each. */
export function describeTable(all: readonly Evaluation[], names: readonly MetricName[]): string[] {
  const [first] = all as [Evaluation];
  const cells = all.map((evaluation) => [
    subjectOf(evaluation.protocol),
    ...names.map((name) => formatMeasured(evaluation.values[name] as Measured)),
  ]);
  const rows = [["", ...names.map((name) => metricLabel(name, first.protocol))], ...cells];
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => (row[column] as string).length))) ?? [];
  return [
    ...rows.map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] as number))
        .join("  ")
        .trimEnd(),
    ),
    methodLine(first.protocol),
  ];
}

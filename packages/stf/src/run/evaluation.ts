/** Evaluations: what a file with quality numbers holds, and what the numbers are called. */

import { isProtocol, type Protocol } from "./protocol.js";

/** The metrics, in the order in which they are printed. */
export const metricNames = [
  "frechet",
  "kernel",
  "slicedWasserstein",
  "precision",
  "recall",
  "score",
  "wavelet",
  "mean",
  "contrast",
  "copies",
] as const;

/** The name of a metric. */
export type MetricName = (typeof metricNames)[number];

/** A number. */
export interface Measured {
  /** The number itself, in the unit of its metric. */
  readonly value: number;
  /** Standard error; undefined where it is not known. */
  readonly error?: number;
  /** The value that as many perfect samples would have: below it, numbers tell nothing. Undefined where it is not known. */
  readonly floor?: number;
  /** The number of each channel, of which the value is the mean. */
  readonly perChannel?: readonly Measured[];
}

/** The quality of one set of images. */
export interface Evaluation {
  /** The metrics that were computed. */
  readonly values: Partial<Readonly<Record<MetricName, Measured>>>;
  /** What was evaluated, and how. */
  readonly protocol: Protocol;
  /** Seconds that it took, without the reference. */
  readonly seconds: number;
}

/** Names on Inception's features, which nobody else's features share, and on others. */
const labels: Readonly<Record<MetricName, { readonly inception: string; readonly other: string }>> = {
  frechet: { inception: "fid", other: "fd" },
  kernel: { inception: "kid", other: "kd" },
  slicedWasserstein: { inception: "sw", other: "sw" },
  precision: { inception: "precision", other: "precision" },
  recall: { inception: "recall", other: "recall" },
  score: { inception: "is", other: "cs" },
  wavelet: { inception: "fwd", other: "fwd" },
  mean: { inception: "mean", other: "mean" },
  contrast: { inception: "contrast", other: "contrast" },
  copies: { inception: "copies", other: "copies" },
};

/** Metrics by what they are called in print: "fid", "fd" and the like, besides their own names. */
export const metricAliases: Readonly<Record<string, MetricName>> = Object.fromEntries(
  metricNames.flatMap((name) => Object.values(labels[name]).map((label) => [label, name] as const)),
);

/** The number of images to which the published numbers refer. */
const USUAL_COUNT = 50_000;

/** "5k" for 5000, "250" for 250, "1.5k" for 1500; nothing from 50,000 on. */
function countSuffix(count: number): string {
  if (count >= USUAL_COUNT) return "";
  return count < 1000 ? String(count) : `${Number((count / 1000).toFixed(3))}k`;
}

/**
 * What a number is called: "fid" for Inception's features and 50,000 images, "fid1k" for 1000, since it depends on the number of
 * images; "fd1k" for other features, since it depends on them even more.
 */
export function metricLabel(name: MetricName, { method }: Protocol): string {
  const isInception = method["features"]?.["name"] === "inception";
  const count = Number(method["images"]?.["count"] ?? USUAL_COUNT);
  return labels[name][isInception ? "inception" : "other"] + countSuffix(count);
}

/** To a number of significant digits. */
const rounded = (value: number, digits = 4): string => (value === 0 ? "0" : String(Number(value.toPrecision(digits))));

/** "0.913 +- 0.008": the error to two digits at most, the value to as many decimals. */
function withError(value: number, error: number): string {
  if (!(error > 0)) return rounded(value);
  const decimals = Math.min(12, Math.max(0, 1 - Math.floor(Math.log10(error))));
  return `${value.toFixed(decimals)} +- ${error.toFixed(decimals)}`;
}

/** "0.913 +- 0.008 (floor 0.11)" */
export function formatMeasured({ value, error, floor, perChannel = [] }: Measured): string {
  return [
    error === undefined ? rounded(value) : withError(value, error),
    floor !== undefined && `(floor ${rounded(floor)})`,
    perChannel.length > 1 && `(${perChannel.map((own, i) => `${"RGB"[i]} ${rounded(own.value, 3)}`).join(", ")})`,
  ]
    .filter(Boolean)
    .join(" ");
}

/** Whether a value, from a file, is an evaluation. */
export function isEvaluation(value: unknown): value is Evaluation {
  const { values, protocol } = Object(value) as Partial<Evaluation>;
  const isMeasured = (measured: unknown): boolean => typeof Object(measured)["value"] === "number";
  return (
    typeof values === "object" &&
    values !== null &&
    Object.values(values).every(isMeasured) &&
    isProtocol(protocol) &&
    // Without it a number would be named like one of 50,000 images.
    Number.isInteger(protocol.method["images"]?.["count"])
  );
}

/** Numbers of quality that a training is to measure: "fd5k,sw2k", as `stf evaluate` prints their names. */

import { UsageError } from "../common/errors.js";
import { didYouMean } from "../common/similar.js";
import { type MetricName, metricAliases, metricNames } from "../run/evaluation.js";
import { checkLocal, needsFeatures } from "./evaluate-request.js";
import type { TrainOptions } from "./train-options.js";

/** Metrics of one number of images. */
export interface MetricRequest {
  /** Images to draw. */
  readonly count: number;
  /** In the order in which they are printed. */
  readonly names: readonly MetricName[];
}

/** Of fewer images every number is mostly chance. */
export const FEWEST_MEASURED = 50;

/** The word for none, which turns them off in a resumed run. */
const OFF = "off";

/** Metrics by their names here; two are computed together. */
const known: Readonly<Record<string, readonly MetricName[]>> = {
  ...Object.fromEntries(Object.entries(metricAliases).map(([label, name]) => [label, [name]])),
  pr: ["precision", "recall"],
};

function readLabel(label: string): { readonly names: readonly MetricName[]; readonly count: number } {
  const [, word = "", digits = "", k = ""] = /^([a-z]+)(\d+(?:\.\d+)?)?(k?)$/.exec(label.toLowerCase()) ?? [];
  const names = known[word];
  const count = Math.round(Number(digits) * (k === "" ? 1 : 1000));
  if (names === undefined) {
    const words = Object.keys(known);
    throw new UsageError(
      `'metrics' must name numbers such as fd5k and sw2k, found "${label}"; there are ${words.join(", ")}${didYouMean(word, words)}`,
    );
  }
  if (digits === "") {
    throw new UsageError(
      `'metrics' must say of how many images a number is, such as ${word}2k for 2000, found "${label}"`,
    );
  }
  if (count < FEWEST_MEASURED) {
    throw new UsageError(`'metrics' must be of at least ${FEWEST_MEASURED} images, found "${label}"`);
  }
  return { names, count };
}

/**
 * The metrics that the options ask for, by number of images, fewest first; none if they are off.
 *
 * @throws UsageError for a name that does not exist or lacks its number of images, and for metrics that need features without any
 */
export function trainingMetrics({ metrics, metricsFeatures }: TrainOptions): readonly MetricRequest[] {
  if (metrics === null || metrics.join() === OFF) return [];
  const wanted = new Map<number, Set<MetricName>>();
  for (const label of metrics) {
    const { names, count } = readLabel(label);
    const needing = names.find(needsFeatures);
    if (metricsFeatures === null && needing !== undefined) {
      throw new UsageError(
        `'metrics=${label}' needs a feature network: name its file in 'metricsFeatures', or fashion-mnist for the one that comes along; fwd2k needs none`,
      );
    }
    wanted.set(count, new Set([...(wanted.get(count) ?? []), ...names]));
  }
  checkLocal("metricsFeatures", metricsFeatures);
  const counts = [...wanted.keys()].sort((a, b) => a - b);
  return counts.map((count) => ({ count, names: metricNames.filter((name) => wanted.get(count)?.has(name)) }));
}

/** When a training measures numbers of quality, and where it writes them. */

import { FileFormatError, isOutOfMemory, writeFileAtomically } from "@stf/torch";
import type { Backlog } from "../common/backlog.js";
import { InputError, UsageError } from "../common/errors.js";
import { isFileProblem, problemOf } from "../common/folders.js";
import { formatDuration } from "../common/text.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { type Evaluation, formatMeasured, type Measured, type MetricName, metricLabel } from "../run/evaluation.js";
import { metricsPath } from "../run/files.js";
import type { MetricStatistics, Statistic, StatsLine } from "../run/statistics.js";
import { SamplingError } from "../sampling/generate.js";
import { type JobContext, Stopped } from "./context.js";
import { formatEvaluations } from "./evaluate.js";
import type { RunFolder } from "./run-folder.js";
import type { TrainingMetrics } from "./training-metrics.js";

/** Numbers by the names that they are printed with. */
const numbersOf = ({ values, protocol }: Evaluation): (readonly [label: string, measured: Measured])[] =>
  Object.entries(values).map(([name, measured]) => [metricLabel(name as MetricName, protocol), measured]);

const single = (mean: number): Statistic => ({ num: 1, mean, std: 0 });

function statisticOf({ value, error = 0 }: Measured, count: number): Statistic {
  return { num: count, mean: value, std: error * Math.sqrt(count) };
}

/** The line of stats.jsonl. */
function lineOf(images: number, seconds: number, evaluations: readonly Evaluation[]): StatsLine {
  const numbers: [string, Statistic][] = evaluations.flatMap((evaluation) => {
    const count = Number(evaluation.protocol.method["images"]?.["count"]);
    return numbersOf(evaluation).map(([label, measured]): [string, Statistic] => [
      `Metrics/${label}`,
      statisticOf(measured, count),
    ]);
  });
  return {
    "Progress/kimg": single(images / 1000),
    ...(Object.fromEntries(numbers) as Partial<MetricStatistics>),
    "Timing/metrics_sec": single(seconds),
    timestamp: Date.now() / 1000,
  };
}

/** Whether a measurement may fail so without an end of the training. */
const isExpected = (error: unknown): boolean =>
  error instanceof InputError ||
  error instanceof UsageError ||
  error instanceof FileFormatError ||
  error instanceof SamplingError ||
  isOutOfMemory(error) ||
  isFileProblem(error);

/** Where numbers go. */
export interface MetricsOutput {
  readonly folder: string;
  /** Where files wait that cannot be written. */
  readonly run: Pick<RunFolder, "linesOf">;
  /** Stores a line of statistics. */
  statistics(line: StatsLine): void;
}

/** Measures the snapshots of one training that are due, prints the numbers and writes them into the run folder. */
export class MetricsRecord {
  readonly #metrics: TrainingMetrics;
  readonly #every: number;
  readonly #output: MetricsOutput;
  readonly #files: Backlog<{ readonly images: number; readonly evaluations: readonly Evaluation[] }>;
  readonly #context: JobContext;
  #latest: number | undefined;

  constructor(
    metrics: TrainingMetrics,
    { snap, metricsEvery }: ResolvedOptions,
    output: MetricsOutput,
    context: JobContext,
  ) {
    this.#metrics = metrics;
    this.#every = snap * metricsEvery;
    this.#output = output;
    this.#context = context;
    this.#files = output.run.linesOf("metrics-*.json", ({ images, evaluations }) =>
      writeFileAtomically(metricsPath(output.folder, images), new TextEncoder().encode(formatEvaluations(evaluations))),
    );
  }

  /** Whether a snapshot after a number of ticks is measured: the same ones in a run that is interrupted. */
  isDue(ticks: number): boolean {
    return ticks % this.#every === 0;
  }

  /** The training has been taken back to an earlier number of images: what was measured later is set aside. */
  onReturn(images: number): void {
    if ((this.#latest ?? 0) > images) this.#latest = undefined;
  }

  /**
   * Measures a snapshot. Ctrl-C ends that, and a measurement that fails does not end the training.
   *
   * @param path - undefined for one that could not be written
   */
  async measure(path: string | undefined, images: number): Promise<void> {
    const { reporter, now } = this.#context;
    // The last snapshot may be that of the last tick again.
    if (images === this.#latest) return;
    if (path === undefined)
      return reporter.warn(`no metrics after ${images} images, whose snapshot could not be written`);
    const start = now();
    try {
      const { evaluations, failures } = await this.#metrics.evaluate(path);
      for (const line of failures) reporter.warn(`metrics after ${images} images: ${line}`);
      this.#latest = images;
      const seconds = now() - start;
      const numbers = evaluations.flatMap(numbersOf).map(([label, measured]) => `${label} ${formatMeasured(measured)}`);
      reporter.print(`metrics     after ${images} images: ${numbers.join(", ")}; took ${formatDuration(seconds)}`);
      this.#files.add({ images, evaluations });
      this.#output.statistics(lineOf(images, seconds, evaluations));
    } catch (error) {
      reporter.clear();
      if (error instanceof Stopped) return reporter.print(`metrics     after ${images} images: stopped`);
      if (!isExpected(error)) throw error;
      const why = isOutOfMemory(error)
        ? "there is not enough memory"
        : error instanceof SamplingError
          ? error.found
          : problemOf(error);
      reporter.warn(`no metrics after ${images} images: ${why}; training continues`);
    }
  }
}

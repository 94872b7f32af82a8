/** Numbers from files beside each other, if they were obtained alike. */

import { readFileSync } from "node:fs";
import { InputError } from "../common/errors.js";
import { readProblemOf } from "../common/folders.js";
import { type Evaluation, isEvaluation, type MetricName, metricNames } from "../run/evaluation.js";
import { formatDifference, methodDifferences, type Protocol } from "../run/protocol.js";

/** An evaluation with the file it is from. */
export interface NamedEvaluation {
  /** Path of the file. */
  readonly file: string;
  /** One of the evaluations in it. */
  readonly evaluation: Evaluation;
}

/**
 * Evaluations from files that `stf evaluate` and `stf fid calc` wrote.
 *
 * @throws InputError for a file that is missing, damaged, or of another kind
 */
export function readEvaluations(path: string): NamedEvaluation[] {
  const text = (() => {
    try {
      return readFileSync(path, "utf8");
    } catch (cause) {
      throw new InputError(`${path} cannot be read: ${readProblemOf(cause)}`, { cause });
    }
  })();
  const content = (() => {
    try {
      return Object(JSON.parse(text)) as { evaluations?: unknown };
    } catch {
      return {};
    }
  })();
  const { evaluations } = content;
  if (!Array.isArray(evaluations) || !evaluations.every(isEvaluation) || evaluations.length === 0) {
    throw new InputError(`${path} must be a file that 'stf evaluate --dest' wrote; it holds no evaluations`);
  }
  return evaluations.map((evaluation) => ({ file: path, evaluation }));
}

/** A protocol without the parameters of metrics that are not compared. */
function relevant({ subject, method }: Protocol, shared: readonly MetricName[]): Protocol {
  const isOther = (part: string): boolean =>
    (metricNames as readonly string[]).includes(part) && !(shared as readonly string[]).includes(part);
  return { subject, method: Object.fromEntries(Object.entries(method).filter(([part]) => !isOther(part))) };
}

/**
 * The metrics that evaluations have in common, if all their numbers compare.
 *
 * @throws InputError naming what differs between two methods, or when there is no common metric
 */
export function comparableMetrics(all: readonly NamedEvaluation[]): readonly MetricName[] {
  const [first, ...others] = all as [NamedEvaluation, ...NamedEvaluation[]];
  const shared = metricNames.filter((name) => all.every(({ evaluation }) => evaluation.values[name] !== undefined));
  if (shared.length === 0) throw new InputError("the evaluations have no metric in common; compute the same 'metrics'");
  for (const other of others) {
    const differences = methodDifferences(
      relevant(first.evaluation.protocol, shared),
      relevant(other.evaluation.protocol, shared),
    );
    if (differences.length === 0) continue;
    throw new InputError(
      `the numbers of ${first.file} and ${other.file} do not compare: ${differences.map(formatDifference).join("; ")}`,
    );
  }
  return shared;
}

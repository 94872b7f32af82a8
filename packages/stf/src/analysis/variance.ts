/** Curves over the noise level, estimated from noisy samples. */

import { type Estimate, meanOf } from "../metrics/estimate.js";
import type { LevelReport, ReferenceCount } from "../run/variance-report.js";
import { varianceBound } from "./divergence.js";
import { controlled, ratioOf } from "./estimates.js";
import type { AnalysisLevel } from "./levels.js";
import type { SampleOptions } from "./sample-ranks.js";
import { examineSamples, type SampleFindings, type Truth } from "./truth.js";

/** A variance below this part of that of the data is rounding, and so is a ratio to it. */
const ROUNDING = 1e-20;

/** Options of {@link varianceCurves}. */
export interface VarianceOptions extends SampleOptions {
  /** Noise levels. */
  readonly levels: readonly AnalysisLevel[];
  /** Numbers of references, ascending. */
  readonly references: readonly ReferenceCount[];
}

/** The values of one level, one per sample. */
const columnOf = (samples: readonly Float64Array[], level: number): Float64Array =>
  Float64Array.from(samples, (values) => values[level] as number);

/**
 * Estimates every curve of a report from noisy samples: means over them, with standard errors. All levels share the samples, so curves
 * are smooth, and the errors of neighbouring levels are alike.
 *
 * V_STF(n) is the mean of ||T_n - D*||². Of one reference the same mean is known better, from the posterior: V_DSM. The difference
 * between the two is the control by which the estimates of all n are improved (`controlled`).
 */
export function varianceCurves(truth: Truth, { levels, references, ...options }: VarianceOptions): LevelReport[] {
  const sigma = Float64Array.from(levels, (level) => level.sigma);
  const found = examineSamples(truth, sigma, [1, ...references], options);
  return levels.map((level, i) => levelReport(found, { truth, level, references }, i));
}

function levelReport(
  found: readonly SampleFindings[],
  { truth, level, references }: { truth: Truth; level: AnalysisLevel; references: readonly ReferenceCount[] },
  i: number,
): LevelReport {
  const valuesOf = (of: (findings: SampleFindings) => Float64Array): Float64Array => columnOf(found.map(of), i);
  const variances = valuesOf(({ variance }) => variance);
  const errorsOf = (k: number): Float64Array => valuesOf(({ errors }) => errors[k] as Float64Array);
  const ofOne = errorsOf(0);
  const control = ofOne.map((error, sample) => error - (variances[sample] as number));
  const stable = references.map((count, k) => (count === 1 ? variances : controlled(errorsOf(k + 1), control)));
  const { sigma, time, scale, lossWeight } = level;
  const floor = meanOf(variances);
  const divergence = meanOf(valuesOf((findings) => findings.divergence));
  const posterior = posteriorOf(found, i);
  return {
    sigma,
    time,
    scale,
    factors: { score: 1 / (scale ** 2 * sigma ** 4), loss: lossWeight },
    floor,
    stable: stable.map(meanOf),
    ratio: stable.map((values) =>
      floor.value > ROUNDING * truth.variance ? ratioOf(values, variances) : { value: 1 },
    ),
    bound: references.map((count) => boundAt(count, truth, sigma, floor, divergence)),
    divergence,
    explainable: meanOf(valuesOf(({ explained }) => explained)),
    ...(posterior && { posterior }),
  };
}

function posteriorOf(found: readonly SampleFindings[], i: number): LevelReport["posterior"] {
  const known = found.map(({ posterior }) => posterior).filter((posterior) => posterior !== undefined);
  if (known.length === 0) return undefined;
  const over = (name: "effective" | "entropy" | "source"): Estimate =>
    meanOf(
      columnOf(
        known.map((posterior) => posterior[name]),
        i,
      ),
    );
  return { effective: over("effective"), entropy: over("entropy"), source: over("source") };
}

function boundAt(
  count: ReferenceCount,
  truth: Truth,
  sigma: number,
  { value: variance }: Estimate,
  { value: divergence }: Estimate,
): number | null {
  const references = count === "all" ? truth.count : count;
  return references === null || references < 2 ? null : varianceBound({ references, variance, divergence, sigma });
}

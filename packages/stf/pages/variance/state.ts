/** What a reader has chosen on the page. */

import type { VarianceReport } from "../../src/run/variance-report.js";
import { Shared } from "../common/shared.js";
import type { Horizontal, Unit } from "./curves.js";

/** Choices that several parts of the page share. */
export interface State {
  readonly report: VarianceReport;
  /** Number of the noise level whose values are shown. */
  readonly level: Shared<number>;
  readonly horizontal: Shared<Horizontal>;
  readonly unit: Shared<Unit>;
}

/** Begins where the variance of the score is largest. */
export function initialState(report: VarianceReport): State {
  return {
    report,
    level: new Shared(nearestLevel(report, report.phases.scorePeak)),
    horizontal: new Shared<Horizontal>("sigma"),
    unit: new Shared<Unit>("denoiser"),
  };
}

/** The number of the level of the report that is nearest to a noise level. */
export function nearestLevel({ levels }: VarianceReport, sigma: number): number {
  const distances = levels.map((level) => Math.abs(Math.log(level.sigma / sigma)));
  return Math.max(0, distances.indexOf(Math.min(...distances)));
}

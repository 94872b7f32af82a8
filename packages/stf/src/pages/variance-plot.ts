/** The main curves of an analysis as an SVG file. */

import type { VarianceReport } from "../run/variance-report.js";
import { loadBundle } from "./page-document.js";

interface Bundle {
  variancePlot(report: VarianceReport): string;
}

/**
 * V_DSM and V_STF(n) over the noise level, with bands of two standard errors, in units of the denoiser and of the score: the text of an
 * SVG file with a white background, for papers and READMEs. Throws an InputError if the code of pages has not been built.
 */
export function variancePlot(report: VarianceReport): string {
  const bundle = loadBundle("variance-plot.cjs") as Bundle;
  return bundle.variancePlot(report);
}

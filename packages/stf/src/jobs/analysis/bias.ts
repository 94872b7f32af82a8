/** The check of bias of an analysis. */

import { mixtureBias } from "../../analysis/mixture-bias.js";
import { biasVariantsOf, regressionBias } from "../../analysis/regression-bias.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import type { BiasReport, LevelReport } from "../../run/variance-report.js";
import type { Sharing } from "./sharing.js";
import { type OpenedTruth, supportSizes } from "./truth.js";

/** Noise levels of the check, within the second phase: elsewhere any references give nearly the same target. */
const LEVELS = 5;
/** Noisy samples, and draws of the target at each. Those of mixtures cost little, and their scatter is skewed. */
const EFFORT = { images: { samples: 96, draws: 32 }, mixture: { samples: 1000, draws: 16 } } as const;
/** References per sample: few enough for a bias to show, of a small data set half. */
const REFERENCES = { images: 64, mixture: 4 } as const;

/** Levels spread over those where the targets vary and are not hopeless. */
function levelsOf(levels: readonly LevelReport[], variance: number): number[] {
  const inside = levels.filter(
    ({ floor, explainable }) => floor.value > 0.01 * variance && explainable.value > 0.05 * variance,
  );
  const chosen = inside.length > 0 ? inside : levels;
  const count = Math.min(LEVELS, chosen.length);
  const at = (i: number): number => (count > 1 ? Math.round((i * (chosen.length - 1)) / (count - 1)) : 0);
  return Array.from({ length: count }, (_, i) => (chosen[at(i)] as LevelReport).sigma);
}

/** Measures the bias of our target and of others. */
export function biasOf(
  opened: OpenedTruth,
  { seed, cond }: ResolvedAnalyze,
  levels: readonly LevelReport[],
  { progress, ranks }: Sharing,
): BiasReport[] {
  const shared = {
    sigma: levelsOf(levels, opened.truth.variance),
    seed,
    ...EFFORT[opened.kind],
    ranks,
    onSample: progress("bias", EFFORT[opened.kind].samples),
  };
  if (opened.kind === "mixture") {
    const variants = ["stable", "sourceExcluded"] as const;
    return mixtureBias(opened.distribution, { ...shared, references: REFERENCES.mixture, variants });
  }
  const { bank } = opened;
  return regressionBias(bank, {
    ...shared,
    references: Math.max(1, Math.min(REFERENCES.images, Math.floor(Math.max(...supportSizes(bank, cond)) / 2))),
    sameClass: cond,
    variants: biasVariantsOf(bank, { sameClass: cond }),
  });
}

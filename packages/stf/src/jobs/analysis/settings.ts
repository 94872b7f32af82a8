/** Settings of training that suit the data of an analysis. */

import { neededReferences, suggestedLevels } from "../../analysis/suggestions.js";
import { dataMoments, MOST_ITEMS } from "../../analysis/value-moments.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import { flagOf } from "../../config/fields.js";
import { toyBank } from "../../data/distribution.js";
import type { Phases, ReferenceCount, SuggestedSettings } from "../../run/variance-report.js";
import type { Sharing } from "./sharing.js";
import type { OpenedTruth } from "./truth.js";

/** Samples for the number of references, of which the order of magnitude matters. */
const REFERENCE_SAMPLES = 64;

/** Values of the points of a mixture from which its moments are estimated. */
const MOST_VALUES = 2 ** 24;

/** sigma_data of EDM, and the factor beyond which another one is worth stating. */
const usual = { sigmaData: 0.5, factor: 1.1 } as const;

function momentsOf(opened: OpenedTruth, seed: number) {
  if (opened.kind === "images") return dataMoments(opened.bank, seed);
  const { distribution } = opened;
  const drawn = toyBank(distribution, Math.max(2, Math.min(MOST_ITEMS, MOST_VALUES / distribution.dimension)), seed);
  try {
    return dataMoments(drawn, seed);
  } finally {
    drawn.dispose();
  }
}

/** What the settings follow from, besides the data. */
interface Findings {
  readonly phases: Phases;
  /** Whether several sources compete at any level of the analysis: without, references change nothing. */
  readonly varies: boolean;
  /** Name of the preconditioning. */
  readonly precond: string;
}

/** The settings. */
export function suggestedSettings(
  opened: OpenedTruth,
  options: ResolvedAnalyze,
  { phases, varies, precond }: Findings,
  { progress, ranks }: Sharing,
): SuggestedSettings {
  const { fraction, seed, num } = options;
  const samples = Math.min(num, REFERENCE_SAMPLES);
  const needed = (): ReferenceCount | null => {
    const onSample = progress("references at the peak", samples);
    return neededReferences(opened.truth, { sigma: phases.scorePeak, fraction, samples, ranks, onSample });
  };
  const settings = { ...suggestedLevels(momentsOf(opened, seed)), fraction, references: varies ? needed() : 1 };
  return { ...settings, options: opened.kind === "images" ? trainingFlags(settings, { ...options, precond }) : [] };
}

/** The options of `stf train` that differ from its defaults, as on a command line. */
function trainingFlags(
  { references, sigmaData, pMean }: Omit<SuggestedSettings, "options">,
  { precond, cond, xflip }: { readonly precond: string; readonly cond: boolean; readonly xflip: boolean },
): string[] {
  const isUnusual = Math.abs(Math.log(sigmaData / usual.sigmaData)) > Math.log(usual.factor);
  const given = {
    ...(precond !== "edm" && { precond }),
    ...(cond && { cond: 1 }),
    ...(xflip && { xflip: 1 }),
    ...(references !== 1 && references !== null && { stf: 1, rbatch: references }),
    ...(precond === "edm" && isUnusual && sigmaData > 0 && { sigmaData: Number(sigmaData.toPrecision(2)), pMean }),
  };
  return Object.entries(given).map(([name, value]) => `${flagOf(name)}=${value}`);
}

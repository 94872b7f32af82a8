/** Settings of training that suit the data of an analysis. */

import { neededReferences, suggestedLevels } from "../../analysis/suggestions.js";
import { dataMoments, MOST_ITEMS } from "../../analysis/value-moments.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import { flagOf } from "../../config/fields.js";
import { toyBank } from "../../data/distribution.js";
import type { SuggestedSettings } from "../../run/variance-report.js";
import type { OpenedTruth } from "./truth.js";

/** Samples for the number of references, of which the order of magnitude matters. */
const REFERENCE_SAMPLES = 64;

/** sigma_data of EDM, and the factor beyond which another one is worth stating. */
const usual = { sigmaData: 0.5, factor: 1.1 } as const;

function momentsOf(opened: OpenedTruth, seed: number) {
  if (opened.kind === "images") return dataMoments(opened.bank, seed);
  const drawn = toyBank(opened.distribution, MOST_ITEMS, seed);
  try {
    return dataMoments(drawn, seed);
  } finally {
    drawn.dispose();
  }
}

/** The settings. @param progress - makes a callback for a part of the work */
export function suggestedSettings(
  opened: OpenedTruth,
  options: ResolvedAnalyze,
  scorePeak: number,
  progress: (title: string, total: number) => (done: number) => void,
): SuggestedSettings {
  const { truth } = opened;
  const { fraction, seed, num } = options;
  const samples = Math.min(num, REFERENCE_SAMPLES);
  const onSample = progress("references at the peak", samples);
  const references =
    truth.variance > 0 ? neededReferences(truth, { sigma: scorePeak, fraction, samples, onSample }) : 1;
  const settings = { ...suggestedLevels(momentsOf(opened, seed)), fraction, references };
  return { ...settings, options: trainingFlags(settings, options) };
}

/** The options of `stf train` that differ from its defaults, as on a command line. */
function trainingFlags(
  { references, sigmaData, pMean }: Omit<SuggestedSettings, "options">,
  { precond, cond, xflip }: ResolvedAnalyze,
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

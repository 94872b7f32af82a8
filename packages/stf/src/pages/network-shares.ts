/** What networks have not learnt and what they have memorised, as shares. Browsers run this module, too, so that it imports types only. */

import type { Measured } from "../run/evaluation.js";
import type { LevelReport, NetworkLevel } from "../run/variance-report.js";

/** With less than this part of the data's variance to explain, shares of it say little. */
export const LEAST_EXPLAINABLE = 0.05;

const NOTHING: Measured = { value: Number.NaN };

/** A measured number of which a part may be missing: in JSON, what is no number is null. */
export function known(measured: Measured | null | undefined): Measured {
  const value = measured?.value ?? Number.NaN;
  const error = measured?.error ?? undefined;
  return error === undefined ? { value } : { value, error };
}

/**
 * The excess over the floor as a part of what an exact denoiser explains: 0 for that denoiser, 1 for one that always returns the mean
 * image. No number where there is little to explain.
 *
 * @param variance - of the data
 */
export function unlearntShare({ seen }: NetworkLevel, { explainable }: LevelReport, variance: number): Measured {
  if (!(known(explainable).value >= LEAST_EXPLAINABLE * variance)) return NOTHING;
  const explained = known(seen.explained);
  return { ...explained, value: 1 - explained.value };
}

/**
 * The gap between unseen and training images as a part of that of the posterior mean over the training images, which knows them by
 * heart. No number where that is not clearly above zero.
 */
export function memorisedShare({ unseen }: NetworkLevel, { floor }: LevelReport): Measured {
  const [exact, gap, least] = [known(unseen?.exact), known(unseen?.gap), known(floor)];
  const most = exact.value - least.value;
  const error = Math.hypot(exact.error ?? 0, least.error ?? 0);
  if (!(most > 5 * error && most > 1e-9)) return NOTHING;
  const value = gap.value / most;
  return gap.error === undefined ? { value } : { value, error: Math.hypot(gap.error, value * error) / most };
}

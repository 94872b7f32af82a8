/** What a measured bias says, in a sentence. */

import { formatLevel } from "../common/text.js";
import type { BiasReport } from "../run/variance-report.js";

/** Standard errors above 0 from which on an estimate is no chance: one in 700 levels without bias has as many. */
const ENOUGH_ERRORS = 3;
/** The part of the explainable variance below which a squared bias is rounding. */
const ROUNDING = 1e-6;

/** What a report says about its target. */
export interface BiasVerdict {
  /** Whether the squared bias is above 0 by more than three standard errors at one of the levels. */
  readonly biased: boolean;
  /** The most standard errors by which the squared bias is above 0, over the levels; 0 where it is exact and 0. */
  readonly score: number;
  /** The position of the level with the largest squared bias, relative to what there is to explain, of those at which it is certain. */
  readonly level: number;
  /** The squared bias there, as a part of the explainable variance E ||D* - E y||². */
  readonly share: number;
  /** What the squared bias is below at every level, by two standard errors, as a part of the explainable variance. */
  readonly atMost: number;
}

/** Compares the squared bias of a target with its standard errors. */
export function biasVerdict({ levels }: BiasReport): BiasVerdict {
  const found = levels.map(({ squaredBias: { value, error = 0 }, explainable }) => {
    const share = explainable.value > 0 ? value / explainable.value : 0;
    const width = explainable.value > 0 ? error / explainable.value : 0;
    const certain = Math.abs(share) > ROUNDING;
    const score = !certain ? 0 : width > 0 ? share / width : Math.sign(share) * Number.POSITIVE_INFINITY;
    return { share, score, atMost: Math.max(share, 0) + 2 * width };
  });
  const scores = found.map(({ score }) => score);
  const counted = found.map(({ share, score }) => (score > ENOUGH_ERRORS ? share : Number.NEGATIVE_INFINITY));
  const biased = Math.max(...scores) > ENOUGH_ERRORS;
  const level = biased ? counted.indexOf(Math.max(...counted)) : scores.indexOf(Math.max(...scores));
  return {
    biased,
    score: Math.max(...scores),
    level,
    share: found[level]?.share ?? 0,
    atMost: Math.max(...found.map(({ atMost }) => atMost)),
  };
}

/** "12 %", "3.5 times" what follows. */
const part = (share: number, of: string): string =>
  share > 2 ? `${Number(share.toPrecision(2))} times ${of}` : `${Number((100 * share).toPrecision(2))} % of ${of}`;

/** The same as a sentence or two. */
export function biasFinding(report: BiasReport): string {
  const { biased, score, level, share, atMost } = biasVerdict(report);
  const { name, references, levels } = report;
  const who = `The ${name === "stable target" ? name : `target with ${name}`} of ${references} references`;
  const { sigma, squaredError, squaredBias } = levels[level] as BiasReport["levels"][number];
  if (!biased) {
    const none = `${who} shows no bias at ${levels.length === 1 ? "the noise level" : `the ${levels.length} noise levels`} of the check`;
    if (atMost < ROUNDING) return `${none}: it is exact up to rounding.`;
    return `${none}: the largest estimate is ${score.toFixed(1)} standard errors from 0, and its squared bias is below ${part(atMost, "the explainable variance")}.`;
  }
  const errors = Number.isFinite(score) ? `, ${score.toFixed(0)} standard errors from 0 where it is clearest` : "";
  return `${who} is biased${errors}: at sigma = ${formatLevel(sigma)} its squared bias is ${part(share, "the explainable variance")}, and ${part(squaredBias.value / squaredError.value, "its squared error")}.`;
}

/** What the numbers of an analysis say, in sentences. */

import { formatLevel } from "../common/text.js";
import type { Measured } from "../run/evaluation.js";
import type { NetworkReport, ReferenceCount, VarianceReport } from "../run/variance-report.js";
import { biasFinding } from "./bias-findings.js";

/** Standard errors beyond which a difference is no chance, with many levels to choose from. */
const SURE = 4;

const percent = (value: number): string => {
  const amount = 100 * value;
  return `${amount >= 10 || amount === 0 ? Math.round(amount) : Number(amount.toPrecision(1))} %`;
};

const references = (count: ReferenceCount): string =>
  count === "all" ? "all images as references" : `${count} ${count === 1 ? "reference" : "references"}`;

const isSure = ({ value, error = 0 }: Measured): boolean => value > SURE * error && value > 0;

/** What the noisy things are called. */
const itemOf = ({ data }: VarianceReport): string => (data.count === null ? "point" : "image");

const sameOf = (report: VarianceReport): string => {
  const item = itemOf(report);
  const { cond } = report.protocol.method["data"] ?? {};
  return `All ${item}s${cond === true ? " of a class" : ""} are equal: every target is that ${item}, and has no variance.`;
};

/** Whether several sources compete at any of the levels. */
const variesIn = ({ phases, levels, data }: VarianceReport): boolean =>
  data.variance > 0 && phases.sourceUpTo !== levels.at(-1)?.sigma;

function phaseSentences(report: VarianceReport): string[] {
  const { phases, precond } = report;
  const { sourceUpTo, priorFrom, scorePeak, probabilities } = phases;
  const item = itemOf(report);
  if (!variesIn(report)) {
    return [
      `At all of these noise levels, up to sigma = ${formatLevel(sourceUpTo ?? Number.NaN)}, a noisy ${item} has one possible source: references change nothing. Look at higher ones.`,
    ];
  }
  const one = sourceUpTo !== null && `up to sigma = ${formatLevel(sourceUpTo)} a noisy ${item} has one possible source`;
  const any = priorFrom !== null && `from sigma = ${formatLevel(priorFrom)} on it could come from nearly any ${item}`;
  const where = one && any ? "in between" : one ? "above" : any ? "below" : "at all of these noise levels";
  const several = `${where} several ${item}s could be the source`;
  const lead = [one, any && !one ? any.replace("it could", `a noisy ${item} could`) : any, several].filter(
    (part) => part !== false,
  );
  const text = lead.join("; ");
  const [first, second, third] = probabilities.map(percent);
  return [
    `${text[0]?.toUpperCase()}${text.slice(1)}.`,
    `Of the noise levels that ${precond} draws in training, ${first} leave one source, ${second} several, where references matter, and ${third} nearly any ${item}.`,
    `The denoising target varies most, in units of the score, at sigma = ${formatLevel(scorePeak)}.`,
  ];
}

function referenceSentences({ levels, phases, suggested, references: counts, costs }: VarianceReport): string[] {
  const peak = levels.find(({ sigma }) => sigma === phases.scorePeak);
  const numbers = counts.flatMap((count, k) => {
    const ratio = peak?.ratio[k];
    return typeof count === "number" && count > 1 && ratio ? [{ count, ratio }] : [];
  });
  const last = numbers.at(-1);
  const cost = (count: ReferenceCount): string => {
    const found = costs.find((each) => each.references === count);
    return found
      ? `, whose target takes ${Number(found.milliseconds.toPrecision(2))} ms per image on this machine`
      : "";
  };
  const left =
    last &&
    `There ${references(last.count)} leave ${percent(Math.max(0, last.ratio.value))}${errorOf(last.ratio)} of the variance.`;
  const { fraction, references: enough } = suggested;
  return [
    ...(left ? [left] : []),
    enough === null
      ? `To bring its variance there below ${percent(fraction)} takes more references than were tried.`
      : `To bring its variance there below ${percent(fraction)} takes ${references(enough)}${cost(enough)}.`,
  ];
}

const errorOf = ({ error }: Measured): string => (error === undefined || error === 0 ? "" : ` (+- ${percent(error)})`);

/** sigma_data that EDM assumes. */
const ASSUMED = 0.5;

function settingSentences(report: VarianceReport): string[] {
  const { suggested, precond, data } = report;
  const { sigmaData, sigmaMax, pMean, pStd } = suggested;
  const isUsual = Math.abs(Math.log(sigmaData / ASSUMED)) < 0.1;
  const deviation = `The standard deviation of all values is ${Number(sigmaData.toPrecision(3))}`;
  const compared = isUsual
    ? `, about the ${ASSUMED} that EDM assumes: its distribution of noise levels suits them.`
    : `, not the ${ASSUMED} that EDM assumes: the equivalent distribution of ln sigma has mean ${pMean} and standard deviation ${pStd}.`;
  return [
    `${deviation}${precond === "edm" ? compared : "."}`,
    `Sampling can start at sigma = ${sigmaMax}: ${data.count === null ? "points" : "images"} with so much noise differ from noise alone by 0.005 nats.`,
  ];
}

/** With a smaller part of the data's variance to explain, proportions of it say little. */
export const LEAST_EXPLAINABLE = 0.05;
/** Proportions of the explainable variance that count as well and as poorly explained. */
const GOOD = 0.9;
const POOR = 0.5;

const rangeOf = (low: number, high: number): string =>
  low === high ? `at sigma = ${formatLevel(low)}` : `from sigma = ${formatLevel(low)} to ${formatLevel(high)}`;

function networkSentences(network: NetworkReport, { levels, data }: VarianceReport): string[] {
  const { file, levels: errors } = network;
  const name = network.images === undefined ? file : `${file} (${network.images} images)`;
  const explained = errors.map(({ seen }, i) => {
    const signal = levels[i]?.explainable.value ?? 0;
    return signal > LEAST_EXPLAINABLE * data.variance ? (seen.explained?.value ?? Number.NaN) : Number.NaN;
  });
  const excesses = errors.map(({ seen }) => seen.excess.value);
  const worst = excesses.indexOf(Math.max(...excesses));
  const firstBelow = explained.findIndex((value) => value < GOOD);
  const good = levels[firstBelow < 0 ? explained.findLastIndex((value) => value >= GOOD) : firstBelow - 1]?.sigma;
  const poor = levels[explained.findIndex((value) => value < POOR)]?.sigma;
  const parts = [
    `its excess loss is largest at sigma = ${formatLevel(levels[worst]?.sigma as number)}`,
    good !== undefined && `up to ${formatLevel(good)} it explains at least ${percent(GOOD)} of what can be explained`,
    poor !== undefined && `from ${formatLevel(poor)} on less than ${percent(POOR)}`,
  ];
  const sentences = [`${name}: ${parts.filter((part) => part !== false).join(", ")}.`];
  const unseen = errors.map(({ unseen: own }) => own);
  if (unseen.some((own) => own === undefined)) return sentences;
  const gaps = unseen.flatMap((own, i) => (own && isSure(own.gap) ? [{ sigma: levels[i]?.sigma as number, own }] : []));
  const [lowest, highest] = [gaps[0], gaps.at(-1)];
  sentences.push(
    lowest && highest
      ? `On unseen images its loss is higher than on training images ${rangeOf(lowest.sigma, highest.sigma)}: it memorises there, or the two sets differ.`
      : "Its loss on unseen images is that on training images within the errors: no sign of memorising.",
  );
  const better = unseen.findLastIndex((own) => own && own.exact.value >= own.loss.value) + 1;
  const handOver = levels[better]?.sigma;
  if (handOver !== undefined) {
    sentences.push(
      `From sigma = ${formatLevel(handOver)} on, the posterior mean of the training images predicts unseen images better than the network does.`,
    );
  }
  return [...sentences, ...handOverSentences(network)];
}

function handOverSentences({ handOver }: NetworkReport): string[] {
  if (handOver?.found === undefined) return [];
  const { stored, found } = handOver;
  const where = (level: number | null): string => (level === null ? "nowhere" : `above sigma = ${formatLevel(level)}`);
  return [
    `The analytic denoiser in its file predicts unseen images better than the network ${where(found)}, and replaces it ${where(stored)}.`,
  ];
}

/** Sentences on a report, most important first. */
export function findingsOf(report: Omit<VarianceReport, "findings">): string[] {
  const whole: VarianceReport = { ...report, findings: [] };
  return [
    ...(report.data.variance > 0 ? phaseSentences(whole) : [sameOf(whole)]),
    ...(variesIn(whole) ? referenceSentences(whole) : []),
    ...(report.data.variance > 0 ? settingSentences(whole) : []),
    ...report.networks.flatMap((network) => networkSentences(network, whole)),
    ...report.bias.map(biasFinding),
  ];
}

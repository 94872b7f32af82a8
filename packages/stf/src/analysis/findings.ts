/** What the numbers of an analysis say, in sentences. */

import { formatLevel } from "../common/text.js";
import type { Measured } from "../run/evaluation.js";
import type { NetworkReport, ReferenceCount, VarianceReport } from "../run/variance-report.js";

/** Standard errors beyond which a difference counts. */
const SURE = 3;

const percent = (value: number): string => {
  const amount = 100 * value;
  return `${amount >= 10 || amount === 0 ? Math.round(amount) : Number(amount.toPrecision(1))} %`;
};

const references = (count: ReferenceCount): string =>
  count === "all" ? "all images as references" : `${count} ${count === 1 ? "reference" : "references"}`;

const isSure = ({ value, error = 0 }: Measured): boolean => value > SURE * error && value > 0;

function phaseSentences({ phases, data, precond }: VarianceReport): string[] {
  const { sourceUpTo, priorFrom, scorePeak, probabilities } = phases;
  if (data.variance === 0) return ["All images are equal: every target is that image, and has no variance."];
  const item = data.count === null ? "point" : "image";
  const parts = [
    sourceUpTo !== null && `up to sigma = ${formatLevel(sourceUpTo)} a noisy ${item} has one possible source`,
    priorFrom !== null && `from sigma = ${formatLevel(priorFrom)} on it could come from nearly any`,
  ].filter((part) => part !== false);
  const lead = parts.join(", and ");
  const [first, second, third] = probabilities.map(percent);
  return [
    ...(lead === "" ? [] : [`${lead[0]?.toUpperCase()}${lead.slice(1)}.`]),
    `In between several could be the source, and the denoising target varies: most at sigma = ${formatLevel(scorePeak)}, in units of the score.`,
    `Of the training samples of ${precond}, ${first} lie in the first of these phases, ${second} in the second, where references matter, and ${third} in the third.`,
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
    return found ? `, which takes ${Number(found.milliseconds.toPrecision(2))} ms per image here` : "";
  };
  const left =
    last &&
    `At that peak ${references(last.count)} leave ${percent(Math.max(0, last.ratio.value))}${errorOf(last.ratio)} of the variance.`;
  const { fraction, references: enough } = suggested;
  return [
    ...(left ? [left] : []),
    enough === null
      ? `To bring it below ${percent(fraction)} takes more references than were tried.`
      : `To bring it below ${percent(fraction)} takes ${references(enough)}${cost(enough)}.`,
  ];
}

const errorOf = ({ error }: Measured): string => (error === undefined ? "" : ` (+- ${percent(error)})`);

/** sigma_data that EDM assumes. */
const ASSUMED = 0.5;

function settingSentences({ suggested, data }: VarianceReport): string[] {
  if (data.variance === 0) return [];
  const { sigmaData, sigmaMax, pMean, pStd } = suggested;
  const isUsual = Math.abs(Math.log(sigmaData / ASSUMED)) < 0.1;
  const shown = Number(sigmaData.toPrecision(3));
  return [
    isUsual
      ? `The standard deviation of the data is ${shown}, about the ${ASSUMED} that EDM assumes: its distribution of noise levels suits them.`
      : `The standard deviation of the data is ${shown}, not the ${ASSUMED} that EDM assumes: the equivalent distribution of ln sigma has mean ${pMean} and standard deviation ${pStd}.`,
    `Drawing can start at sigma = ${sigmaMax}: noisy images there differ from noise alone by 0.005 nats.`,
  ];
}

function networkSentences(network: NetworkReport, { levels }: VarianceReport): string[] {
  const { file, levels: errors } = network;
  const weighted = errors.map(({ seen }, i) => seen.excess.value * (levels[i]?.factors.loss as number));
  const worst = weighted.indexOf(Math.max(...weighted));
  const { explained } = (errors[worst] as NetworkReport["levels"][number]).seen;
  const name = network.images === undefined ? file : `${file} (${network.images} images)`;
  const sentences = [
    `${name}: the excess loss is highest at sigma = ${formatLevel(levels[worst]?.sigma as number)}, where the network explains ${percent(explained.value)} of what an exact denoiser of the training set explains.`,
  ];
  const unseen = errors.map(({ unseen: own }) => own);
  if (unseen.some((own) => own === undefined)) return sentences;
  const gaps = unseen.flatMap((own, i) => (own && isSure(own.gap) ? [{ sigma: levels[i]?.sigma as number, own }] : []));
  const [lowest, highest] = [gaps[0], gaps.at(-1)];
  sentences.push(
    lowest && highest
      ? `On unseen images its loss is higher than on training images from sigma = ${formatLevel(lowest.sigma)} to ${formatLevel(highest.sigma)}: it memorises there, or the two sets differ.`
      : "Its loss on unseen images is that on training images within the errors: no sign of memorising.",
  );
  const better = unseen.findLastIndex((own) => own && own.exact.value >= own.loss.value) + 1;
  const handOver = levels[better]?.sigma;
  if (handOver !== undefined) {
    sentences.push(
      `From sigma = ${formatLevel(handOver)} on, the posterior mean of the training images predicts unseen images better than the network does.`,
    );
  }
  return sentences;
}

/** Sentences on a report, most important first. */
export function findingsOf(report: Omit<VarianceReport, "findings">): string[] {
  const whole: VarianceReport = { ...report, findings: [] };
  return [
    ...phaseSentences(whole),
    ...(report.data.variance > 0 ? referenceSentences(whole) : []),
    ...settingSentences(whole),
    ...report.networks.flatMap((network) => networkSentences(network, whole)),
  ];
}

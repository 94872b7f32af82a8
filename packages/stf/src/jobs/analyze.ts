/** An analysis as a job: from a request to the variances of targets, and the errors of networks, over the noise level. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { findingsOf } from "../analysis/findings.js";
import { type AnalysisLevel, analysisLevels } from "../analysis/levels.js";
import { type MeasuredNetwork, networkErrors } from "../analysis/network-errors.js";
import { phasesOf } from "../analysis/phases.js";
import { varianceCurves } from "../analysis/variance.js";
import { type HandOverLevel, handOverAt } from "../analytic/hand-over.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { UsageError } from "../common/errors.js";
import { makeFolderFor, removeEmptyFolder } from "../common/folders.js";
import { checkAlone } from "../common/ranks.js";
import { formatLevel } from "../common/text.js";
import { analyzedLevels } from "../config/analyze-options.js";
import { type AnalyzeRequest, analyzeOptions, type ResolvedAnalyze } from "../config/analyze-request.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import { preconditioningOf } from "../preconditioning/table.js";
import type { NoiseRange } from "../processes/scheduled.js";
import type { Protocol } from "../run/protocol.js";
import type { NetworkReport, ReferenceCount, TargetCost, VarianceReport } from "../run/variance-report.js";
import { edmSchedule } from "../sampling/steps.js";
import { biasOf } from "./analysis/bias.js";
import { examplesOf } from "./analysis/examples.js";
import { type AnalysedNetwork, checkNetworks, numberingFor, openNetworks } from "./analysis/networks.js";
import { type AnalysisFiles, writeAnalysis } from "./analysis/output.js";
import { analysisProtocol } from "./analysis/protocol.js";
import { suggestedSettings } from "./analysis/settings.js";
import { type Sharing, sharingOf } from "./analysis/sharing.js";
import { targetCosts } from "./analysis/target-cost.js";
import { disposeTruth, type OpenedTruth, openTruth, possibleReferences } from "./analysis/truth.js";
import { type JobContext, jobContext } from "./context.js";
import { checkDevice, deviceOf } from "./device.js";
import { withinMemory } from "./memory.js";
import { checkSame, checkSameRequest } from "./same-work.js";

/** The result of an analysis, and the paths of its files. */
export interface AnalyzeResult extends AnalysisFiles {
  /** Everything that was found. */
  readonly report: VarianceReport;
}

/** The range of levels: what was asked for, else EDM's within what the preconditioning covers, or all of a process with an end. */
function rangeOf({ sigmaMin, sigmaMax }: ResolvedAnalyze, preconditioning: Preconditioning): NoiseRange {
  const { process, name } = preconditioning;
  const [lowest, highest] = [
    Math.max(preconditioning.sigmaMin, analyzedLevels.low),
    Math.min(preconditioning.sigmaMax, analyzedLevels.high),
  ];
  const usual = Number.isFinite(process.end)
    ? { low: lowest, high: highest }
    : { low: Math.max(edmSchedule.sigmaMin, lowest), high: Math.min(edmSchedule.sigmaMax, highest) };
  const range = { sigmaMin: sigmaMin ?? usual.low, sigmaMax: sigmaMax ?? usual.high };
  const found = `found ${formatLevel(range.sigmaMin)} and ${formatLevel(range.sigmaMax)}`;
  if (range.sigmaMin < lowest * (1 - 1e-6) || range.sigmaMax > highest * (1 + 1e-6)) {
    throw new UsageError(
      `'sigmaMin' and 'sigmaMax' must be within ${formatLevel(lowest)} to ${formatLevel(highest)}, the noise levels of ${name}, ${found}`,
    );
  }
  if (range.sigmaMin >= range.sigmaMax) {
    throw new UsageError(`'sigmaMin' must be below 'sigmaMax', ${found}; give both`);
  }
  return range;
}

/** What an analysis works with. */
interface Analysis {
  readonly options: ResolvedAnalyze;
  readonly opened: OpenedTruth;
  readonly preconditioning: Preconditioning;
  readonly levels: readonly AnalysisLevel[];
  readonly networks: readonly AnalysedNetwork[];
  readonly context: JobContext;
  readonly sharing: Sharing;
}

function networkReports({ options, opened, levels, networks, sharing }: Analysis): NetworkReport[] {
  if (opened.kind !== "images" || networks.length === 0) return [];
  const measured = networks.map(({ denoiser, analytic }): MeasuredNetwork => {
    const known = analytic?.denoiser;
    return { denoiser, analytic: known && ((x, sigma, classes) => known.denoise(x, sigma, classes)) };
  });
  const errors = networkErrors(measured, opened.truth, {
    sigma: Float64Array.from(levels, ({ sigma }) => sigma),
    samples: options.networkNum,
    unseen: opened.unseen,
    seed: options.seed,
    ranks: sharing.ranks,
    onSample: sharing.progress("errors of networks", 1),
  });
  return networks.map(({ file, images, analytic }, k) => {
    const own = errors[k] as NetworkReport["levels"];
    return {
      file,
      ...(images !== undefined && { images }),
      levels: own,
      ...(analytic && { handOver: handOverOf(analytic, own, levels, options) }),
    };
  });
}

/** Where an analytic denoiser replaces its network, according to the file and to the errors on unseen images. */
function handOverOf(
  { denoiser, handOver }: StoredAnalytic,
  errors: NetworkReport["levels"],
  levels: readonly AnalysisLevel[],
  { networkNum }: ResolvedAnalyze,
): NonNullable<NetworkReport["handOver"]> {
  const compared = errors.flatMap(({ unseen }, i): HandOverLevel[] => {
    const sigma = (levels[i] as AnalysisLevel).sigma;
    if (!unseen?.analytic || sigma < denoiser.sigmaFloor) return [];
    const { loss, advantage } = unseen.analytic;
    return [{ sigma, images: networkNum, network: unseen.loss, analytic: loss, advantage }];
  });
  const stored = handOver.above;
  return compared.length === 0 ? { stored } : { stored, found: handOverAt(compared).above };
}

/** The numbers of references, ascending, and one more. */
function withCount(references: readonly ReferenceCount[], count: ReferenceCount | null): ReferenceCount[] {
  if (count === null || references.includes(count)) return [...references];
  const place = references.findIndex((other) => other === "all" || (count !== "all" && other > count));
  return place < 0 ? [...references, count] : references.toSpliced(place, 0, count);
}

function costsOf(
  { options, opened, context }: Analysis,
  references: readonly ReferenceCount[],
  sigma: number,
): TargetCost[] {
  if (opened.kind !== "images") return [];
  const { cond, seed } = options;
  context.reporter.update("measuring the time of targets");
  return targetCosts(opened.bank, references, { sigma, sameClass: cond, seed }, context);
}

/** Identifies the networks and images of an analysis, wherever they are on a machine. */
function keyOf({ subject, method }: Protocol): string {
  const { networks_sha256: networks = null } = subject;
  return JSON.stringify([networks, method]);
}

async function reportOf(analysis: Analysis): Promise<VarianceReport> {
  const { options, opened, preconditioning, levels, networks, context, sharing } = analysis;
  const { team } = context;
  const { num, references } = options;
  const { truth } = opened;
  const start = context.now();
  const protocol = await analysisProtocol(opened, options, networks, analysis);
  if (team) checkSame("networks and images", keyOf(protocol), team);
  const curves = varianceCurves(truth, {
    levels,
    references,
    samples: num,
    ranks: sharing.ranks,
    onSample: sharing.progress("noisy samples", num),
  });
  const phases = phasesOf(curves, truth.variance, preconditioning.noiseLevels);
  const varies = truth.variance > 0 && phases.sourceUpTo !== curves.at(-1)?.sigma;
  const found = { phases, varies, precond: preconditioning.name };
  const suggested = suggestedSettings(opened, options, found, sharing);
  const measureCosts = () => costsOf(analysis, withCount(references, suggested.references), phases.scorePeak);
  const report: Omit<VarianceReport, "findings"> = {
    protocol,
    data: { name: truth.name, count: truth.count, dimension: truth.dimension, variance: truth.variance },
    precond: preconditioning.name,
    references,
    levels: curves,
    phases,
    suggested,
    // While the others wait: they would slow it down.
    costs: team ? await team.first("it measures the time of targets", measureCosts) : measureCosts(),
    networks: networkReports(analysis),
    bias: options.checkBias ? biasOf(opened, options, curves, sharing) : [],
    seconds: context.now() - start,
  };
  return { ...report, findings: findingsOf(report) };
}

/**
 * Analyses the targets of a data set over the noise level, and networks on it: variances, the floor of the loss, posteriors, excess
 * losses. Writes variance.json, a page and a plot. Connected processes divide the samples, and all have the result, which the first one
 * writes.
 *
 *     const { report } = await analyze({ data: "my-photos", num: 64 });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop.
 */
export async function analyze(request: AnalyzeRequest, context: JobContext = jobContext()): Promise<AnalyzeResult> {
  const asked = analyzeOptions(request);
  const { team, rank } = context;
  const options = { ...asked, device: deviceOf(asked.device, rank) };
  if (!team) checkAlone("analyze", rank);
  else checkSameRequest(request, team, ["data", "network", "heldOut", "mixture", "cache", "outdir"]);
  checkDevice(options.device);
  if (rank.rank > 0) return await analysisOf(request, options, context);
  const isNew = !existsSync(options.outdir);
  makeFolderFor(join(options.outdir, "variance.json"), "outdir");
  try {
    return await analysisOf(request, options, context);
  } catch (error) {
    if (isNew) removeEmptyFolder(options.outdir);
    throw error;
  }
}

async function analysisOf(
  request: AnalyzeRequest,
  options: ResolvedAnalyze,
  context: JobContext,
): Promise<AnalyzeResult> {
  const networks = openNetworks(options, context);
  const preconditioning =
    request.precond === undefined && networks[0]
      ? networks[0].denoiser.preconditioning
      : preconditioningOf(options.precond);
  try {
    const levels = analysisLevels(preconditioning, rangeOf(options, preconditioning), options.levels);
    const work = async (): Promise<AnalyzeResult> => {
      const opened = await openTruth(options, context, numberingFor(networks));
      try {
        if (opened.kind === "images") checkNetworks(networks, opened.bank);
        const references = possibleReferences(opened, options);
        const same = request.references?.filter((count) => count !== "all" && !references.includes(count)) ?? [];
        if (same.length > 0)
          context.reporter.print(`note: ${same.join(", ")} references are all that there are: "all"`);
        const resolved = { ...options, references };
        const analysis = { options: resolved, opened, preconditioning, levels, networks, context };
        const report = await reportOf({ ...analysis, sharing: sharingOf(context) });
        const write = (): Promise<AnalysisFiles> => {
          context.reporter.update("drawing the page");
          const examples = examplesOf(opened, levels, networks, report.references);
          return writeAnalysis(options.outdir, { report, examples });
        };
        const { team } = context;
        return { report, ...(await (team ? team.first("it draws the page", write) : write())) };
      } finally {
        disposeTruth(opened);
      }
    };
    return await withinMemory(() => "lower 'levels' or the largest number of 'references'", work);
  } finally {
    for (const network of networks) network.dispose();
  }
}

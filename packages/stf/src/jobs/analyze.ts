/** An analysis as a job: from a request to the variances of targets, and the errors of networks, over the noise level. */

import { findingsOf } from "../analysis/findings.js";
import { type AnalysisLevel, analysisLevels } from "../analysis/levels.js";
import { networkErrors } from "../analysis/network-errors.js";
import { phasesOf } from "../analysis/phases.js";
import { varianceCurves } from "../analysis/variance.js";
import { UsageError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import { checkAlone } from "../common/ranks.js";
import { formatDuration, formatLevel } from "../common/text.js";
import { type AnalyzeRequest, analyzeOptions, type ResolvedAnalyze } from "../config/analyze-request.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import { preconditioningOf } from "../preconditioning/table.js";
import type { NoiseRange } from "../processes/scheduled.js";
import type { NetworkReport, TargetCost, VarianceReport } from "../run/variance-report.js";
import { edmSchedule } from "../sampling/steps.js";
import { biasOf } from "./analysis/bias.js";
import { examplesOf } from "./analysis/examples.js";
import { type AnalysedNetwork, checkNetworks, numberingFor, openNetworks, unseenImages } from "./analysis/networks.js";
import { type AnalysisFiles, writeAnalysis } from "./analysis/output.js";
import { analysisProtocol } from "./analysis/protocol.js";
import { suggestedSettings } from "./analysis/settings.js";
import { targetCosts } from "./analysis/target-cost.js";
import { type OpenedTruth, openTruth } from "./analysis/truth.js";
import { checkStop, type JobContext, jobContext } from "./context.js";
import { checkDevice } from "./device.js";
import { withinMemory } from "./memory.js";

/** The result of an analysis, and the paths of its files. */
export interface AnalyzeResult extends AnalysisFiles {
  /** Everything that was found. */
  readonly report: VarianceReport;
}

/** The range of levels: what was asked for, else EDM's within what the preconditioning covers, or all of a process with an end. */
function rangeOf({ sigmaMin, sigmaMax }: ResolvedAnalyze, preconditioning: Preconditioning): NoiseRange {
  const { process, sigmaMin: lowest, sigmaMax: highest } = preconditioning;
  const usual = Number.isFinite(process.end)
    ? { low: lowest, high: highest }
    : { low: Math.max(edmSchedule.sigmaMin, lowest), high: Math.min(edmSchedule.sigmaMax, highest) };
  const range = { sigmaMin: sigmaMin ?? usual.low, sigmaMax: sigmaMax ?? usual.high };
  const isInside = range.sigmaMin >= lowest * (1 - 1e-6) && range.sigmaMax <= highest * (1 + 1e-6);
  if (!isInside || range.sigmaMin >= range.sigmaMax) {
    throw new UsageError(
      `'sigmaMin' and 'sigmaMax' must be ascending within ${formatLevel(lowest)} to ${formatLevel(highest)}, which ${preconditioning.name} covers, found ${formatLevel(range.sigmaMin)} and ${formatLevel(range.sigmaMax)}`,
    );
  }
  return range;
}

/** Reports how far a part of the analysis is. */
function progressOf(context: JobContext, title: string, total: number): (done: number) => void {
  const start = context.now();
  return (done) => {
    checkStop(context);
    const left = ((context.now() - start) / done) * (total - done);
    context.reporter.update(
      `${title}: ${total > 1 ? `${done} of ${total}` : `${Math.round(100 * done)} %`}, ${formatDuration(left)} left`,
    );
  };
}

/** What an analysis works with. */
interface Analysis {
  readonly options: ResolvedAnalyze;
  readonly opened: OpenedTruth;
  readonly preconditioning: Preconditioning;
  readonly levels: readonly AnalysisLevel[];
  readonly networks: readonly AnalysedNetwork[];
  readonly context: JobContext;
}

async function networkReports({ options, opened, levels, networks, context }: Analysis): Promise<NetworkReport[]> {
  if (opened.kind !== "images" || networks.length === 0) return [];
  const unseen = await unseenImages(options, networks, opened.bank, context);
  try {
    const errors = networkErrors(
      networks.map(({ denoiser }) => denoiser),
      opened.truth,
      {
        sigma: Float64Array.from(levels, ({ sigma }) => sigma),
        samples: options.networkNum,
        unseen,
        seed: options.seed,
        onSample: progressOf(context, "errors of networks", 1),
      },
    );
    return networks.map(({ file, images }, k) => ({
      file,
      ...(images !== undefined && { images }),
      levels: errors[k] as NetworkReport["levels"],
    }));
  } finally {
    unseen?.dispose();
  }
}

function costsOf({ options, opened, context }: Analysis, sigma: number): TargetCost[] {
  if (opened.kind !== "images") return [];
  const { cond, seed, references } = options;
  context.reporter.update("measuring the time of targets");
  return targetCosts(opened.bank, references, { sigma, sameClass: cond, seed }, context);
}

async function reportOf(analysis: Analysis): Promise<VarianceReport> {
  const { options, opened, preconditioning, levels, networks, context } = analysis;
  const { references, num } = options;
  const { truth } = opened;
  const start = context.now();
  const progress = (title: string, total: number) => progressOf(context, title, total);
  const curves = varianceCurves(truth, {
    levels,
    references,
    samples: num,
    onSample: progress("noisy samples", num),
  });
  const phases = phasesOf(curves, truth.variance, preconditioning.noiseLevels);
  const suggested = suggestedSettings(opened, options, phases.scorePeak, progress);
  const report: Omit<VarianceReport, "findings"> = {
    protocol: await analysisProtocol(opened, options, networks, analysis),
    data: { name: truth.name, count: truth.count, dimension: truth.dimension, variance: truth.variance },
    precond: preconditioning.name,
    references,
    levels: curves,
    phases,
    suggested,
    costs: costsOf(analysis, phases.scorePeak),
    networks: await networkReports(analysis),
    bias: options.checkBias ? biasOf(opened, options, curves, progress) : [],
    seconds: context.now() - start,
  };
  return { ...report, findings: findingsOf(report) };
}

/**
 * Analyses the targets of a data set over the noise level, and networks on it: variances, the floor of the loss, posteriors, excess
 * losses. Writes variance.json, a page and a plot.
 *
 *     const { report } = await analyze({ data: "my-photos", num: 64 });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop.
 */
export async function analyze(request: AnalyzeRequest, context: JobContext = jobContext()): Promise<AnalyzeResult> {
  const options = analyzeOptions(request);
  checkAlone("analyze", context.rank);
  checkDevice(options.device);
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
        makeFolders(options.outdir);
        const report = await reportOf({ options, opened, preconditioning, levels, networks, context });
        context.reporter.update("drawing the page");
        const examples = examplesOf(opened, levels, networks, options);
        return { report, ...(await writeAnalysis(options.outdir, { report, examples })) };
      } finally {
        if (opened.kind === "images") opened.bank.dispose();
      }
    };
    return await withinMemory(() => "lower 'levels' or the largest number of 'references'", work);
  } finally {
    for (const { denoiser } of networks) denoiser.dispose();
  }
}

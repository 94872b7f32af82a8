/** Quality numbers as a job: of sets of images, or of what networks draw, against a reference. */

import { scope, writeFileAtomically } from "@stf/torch";
import { holdsStatistics } from "../checkpoints/statistics-file.js";
import { imagesOf } from "../codecs/planes.js";
import { UsageError } from "../common/errors.js";
import { makeFolderFor } from "../common/folders.js";
import { formatDuration } from "../common/text.js";
import {
  type EvaluateRequest,
  evaluateOptions,
  needsFeatures,
  type ResolvedEvaluate,
} from "../config/evaluate-request.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { type Evaluation, type MetricName, metricNames } from "../run/evaluation.js";
import { type JobContext, jobContext, Stopped } from "./context.js";
import { checkDevice } from "./device.js";
import { describeCost } from "./evaluation-cost.js";
import { Exchange } from "./exchange.js";
import { type CollectOptions, collect, type FeatureSet, featureFacts } from "./feature-set.js";
import { drawnImages, type ImageSource, imagesOnDisk } from "./image-source.js";
import { withinMemory } from "./memory.js";
import { openFeatures } from "./open-features.js";
import { type Pair, writePairs } from "./pairs.js";
import { QualityMeasure } from "./quality.js";
import { imageReference, type OpenedReference, storedReference } from "./reference.js";
import { writeOrRescue } from "./rescue.js";
import { snapshotsOf } from "./snapshots.js";

/** The result of {@link evaluate}. */
export interface EvaluateResult {
  /** "stopped" when `context.shouldStop` ended it: the evaluations are those finished by then. */
  readonly reason: "finished" | "stopped";
  /** One for each set or network, in the order of the request; none in processes other than the first. */
  readonly evaluations: readonly Evaluation[];
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** The metrics that are computed. @throws UsageError for one that the reference or the features do not allow. */
function chosenMetrics(
  { metrics }: ResolvedEvaluate,
  network: FeatureNetwork | undefined,
  isStatistics: boolean,
): readonly MetricName[] {
  const fromStatistics = ["frechet", "score"];
  const obstacle = (name: MetricName): string | undefined => {
    if (needsFeatures(name) && !network) return "a feature network, named in 'features'";
    if (name === "score" && network?.classes === 0) return "a feature network with classes";
    if (isStatistics && !fromStatistics.includes(name)) return "the images of the reference, not their statistics";
    return undefined;
  };
  for (const name of metrics ?? []) {
    const missing = obstacle(name);
    if (missing !== undefined) throw new UsageError(`'metrics=${name}' needs ${missing}`);
  }
  return metricNames.filter((name) => (metrics ?? metricNames).includes(name) && obstacle(name) === undefined);
}

/** What is evaluated: sets of images first, then networks. */
function openers(options: ResolvedEvaluate, context: JobContext): (() => Promise<ImageSource>)[] {
  const { images, network, num, seed } = options;
  return [
    ...(images ?? []).map((path) => () => imagesOnDisk(path, { num, seed, atLeast: num, context })),
    ...snapshotsOf(network ?? []).map((path) => () => drawnImages(options.drawing(path), context)),
  ];
}

/** Everything that the sets are measured with. */
interface Instruments {
  readonly reference: OpenedReference | undefined;
  readonly measure: QualityMeasure | undefined;
  readonly wanted: readonly MetricName[];
}

/** The pairs to show: the samples most like a training image. */
const MOST_PAIRS = 32;

function pairsOf(
  set: FeatureSet,
  reference: FeatureSet,
  copies: readonly { sample: number; nearest: number }[],
): Pair[] {
  const row = ({ pixels }: FeatureSet, index: number): Uint8Array =>
    scope(() => imagesOf(pixels.narrow(0, index, 1))[0] as Uint8Array);
  return copies.slice(0, MOST_PAIRS).map(({ sample, nearest }) => [row(set, sample), row(reference, nearest)]);
}

/** Evaluates one set. Undefined in processes other than the first. */
async function evaluateOne(
  source: ImageSource,
  { reference, measure, wanted }: Instruments,
  collecting: Omit<CollectOptions, "title">,
): Promise<{ readonly evaluation: Evaluation; readonly pairs: Pair[] } | undefined> {
  const { context, network } = collecting;
  const start = context.now();
  const set = await collect(source, { ...collecting, title: source.title });
  if (!set || !measure || !reference) return undefined;
  try {
    const { values, methods, copies } = measure.of(set, wanted);
    context.reporter.clear();
    const { subject, method } = source.protocol;
    const protocol = {
      subject,
      method: {
        ...method,
        ...(network && { features: featureFacts(network) }),
        reference: reference.facts,
        ...methods,
      },
    };
    const pairs = copies && reference.set ? pairsOf(set, reference.set, copies) : [];
    return { evaluation: { values, protocol, seconds: context.now() - start }, pairs };
  } finally {
    set.dispose();
  }
}

/** Where processes share what they computed: beside the result. */
const sharedFolder = (dest: string | null): string => `${dest ?? "evaluation"}.parts`;

/** The evaluations as text of a file. */
export const formatEvaluations = (evaluations: readonly Evaluation[]): string =>
  `${JSON.stringify({ evaluations }, undefined, 2)}\n`;

/**
 * Computes quality numbers of sets of images, or of networks, whose images are drawn in memory; with `dest`, also written to a
 * JSON file. All metrics of a set use one set of features. Several processes can divide the work: the first has the result.
 *
 *     await evaluate({ network: ["runs/00000-my-photos"], ref: "my-photos", features: "features.safetensors", num: 2000 });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used
 */
export async function evaluate(request: EvaluateRequest, context: JobContext = jobContext()): Promise<EvaluateResult> {
  const { reporter } = context;
  const options = evaluateOptions(request, context.rank.size);
  const { dest, pairs: pairsPath, features, device } = options;
  checkDevice(device);
  if (dest !== null) makeFolderFor(dest, "dest");
  if (pairsPath !== null) makeFolderFor(pairsPath, "pairs");
  const exchange = new Exchange(sharedFolder(dest), context);
  const evaluations: Evaluation[] = [];
  const pairs: Pair[] = [];
  let network: FeatureNetwork | undefined;
  let reference: OpenedReference | undefined;
  let measure: QualityMeasure | undefined;
  let shape: FeatureSet["shape"] | undefined;
  let reason: EvaluateResult["reason"] = "finished";
  try {
    network = features === null ? undefined : await openFeatures(features, device);
    const isStatistics = await holdsStatistics(options.ref);
    if (isStatistics && !network) {
      throw new UsageError(
        "'ref' with statistics needs the feature network that they were computed with, in 'features'",
      );
    }
    const wanted = chosenMetrics(options, network, isStatistics);
    if (network) reporter.print(`features: ${network.title}`);
    else
      reporter.print(
        "note: without 'features' only pixels are compared; docs/evaluation.md says which features to take",
      );
    const sources = openers(options, context);
    const from = { num: options.refNum, seed: options.seed, context };
    const own = isStatistics ? undefined : await imagesOnDisk(options.ref, from);
    const collecting = { network, batch: options.batch, exchange, context };
    await withinMemory(
      () => `lower 'batch' (it is ${options.batch}) or 'num' (it is ${options.num})`,
      async () => {
        let source = await (sources[0] as (typeof sources)[0])();
        const work = { first: source, sets: sources.length, reference: own?.count ?? 0, network };
        reporter.print(describeCost(work, context));
        reference = own
          ? await imageReference(own, collecting)
          : await storedReference(options.ref, network as FeatureNetwork);
        measure = reference && new QualityMeasure(reference, context);
        for (let number = 0; number < sources.length; number++) {
          if (number > 0) source = await (sources[number] as (typeof sources)[0])();
          try {
            shape = source.shape;
            const found = await evaluateOne(source, { reference, measure, wanted }, collecting);
            if (!found) continue;
            evaluations.push(found.evaluation);
            pairs.push(...found.pairs);
            reporter.printPlain(`${source.title}: ${formatDuration(found.evaluation.seconds)}`);
          } finally {
            source.dispose();
          }
        }
      },
    ).finally(() => own?.dispose());
    exchange.finish();
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    reason = "stopped";
  } finally {
    network?.dispose();
    reference?.dispose();
    measure?.dispose();
  }
  const problems: (string | undefined)[] = [];
  if (dest !== null && evaluations.length > 0) {
    const bytes = new TextEncoder().encode(formatEvaluations(evaluations));
    problems.push((await writeOrRescue(dest, (place) => writeFileAtomically(place, bytes))).problem);
  }
  if (pairsPath !== null && shape && pairs.length > 0) {
    const own = shape;
    problems.push((await writeOrRescue(pairsPath, (place) => writePairs(place, pairs, own))).problem);
  }
  const problem = problems.find((one) => one !== undefined);
  return { reason, evaluations, ...(problem !== undefined && { problem }) };
}

/** The published `fid.py` as jobs: reference statistics of a data set, and the Fréchet distance of images to them. */

import { writeFileAtomically } from "@stf/torch";
import { writeStatistics } from "../checkpoints/statistics-file.js";
import { makeFolderFor } from "../common/folders.js";
import { checkAlone } from "../common/ranks.js";
import { type FidCalcRequest, type FidRefRequest, fidCalcOptions, fidRefOptions } from "../config/fid-options.js";
import { featureStatistics } from "../metrics/feature-statistics.js";
import type { Evaluation } from "../run/evaluation.js";
import type { Protocol } from "../run/protocol.js";
import { type JobContext, jobContext } from "./context.js";
import { checkDevice } from "./device.js";
import { formatEvaluations } from "./evaluate.js";
import { describeCost } from "./evaluation-cost.js";
import { Evaluator } from "./evaluator.js";
import { Exchange } from "./exchange.js";
import { collect, featureFacts } from "./feature-set.js";
import { imagesOnDisk } from "./image-source.js";
import { withinMemory } from "./memory.js";
import { openFeatures } from "./open-features.js";
import { referenceFacts } from "./reference.js";
import { writeOrRescue } from "./rescue.js";
import { checkSameRequest } from "./same-work.js";

/** The result of {@link calculateFid}. */
export interface FidResult {
  /** With the Fréchet distance; undefined in processes other than the first. */
  readonly evaluation: Evaluation | undefined;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/**
 * The Fréchet distance between the features of images and reference statistics. Of more images than `num` the same ones are
 * chosen as by the published tool. Several processes can divide the work: the first has the result.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used;
 * Stopped when the job is to stop
 */
export async function calculateFid(request: FidCalcRequest, context: JobContext = jobContext()): Promise<FidResult> {
  const { team, rank } = context;
  const options = fidCalcOptions(request, team ? 1 : rank.size);
  const { images, num, seed, dest, device } = options;
  if (team) checkSameRequest(request, team, ["images", "ref", "features", "dest"]);
  checkDevice(device);
  if (dest !== null && !(team && rank.rank > 0)) makeFolderFor(dest, "dest");
  const shared = dest ?? "fid";
  const found = await withinMemory(
    () => `lower 'batch' (it is ${options.batch})`,
    async () => {
      using evaluator = await Evaluator.open({ ...options, refNum: null, metrics: ["frechet"], shared }, context);
      using source = await imagesOnDisk(images, { num, seed, atLeast: num, context });
      context.reporter.print(evaluator.cost(source, 1));
      const evaluated = await evaluator.evaluate(source);
      return evaluated;
    },
  );
  const evaluation = found?.evaluation;
  if (dest === null || !evaluation) return { evaluation };
  const bytes = new TextEncoder().encode(formatEvaluations([evaluation]));
  const { problem } = await writeOrRescue(dest, (place) => writeFileAtomically(place, bytes));
  return problem === undefined ? { evaluation } : { evaluation, problem };
}

/** The result of {@link referenceStatistics}. */
export interface FidReferenceResult {
  /** Number of images. */
  readonly count: number;
  /** Number of features. */
  readonly dimension: number;
  /** How they were computed, as the file says, too. */
  readonly protocol: Protocol;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/**
 * Mean and covariance of the features of all images of a data set, written to an npz file that the published tool reads, too.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used;
 * Stopped when the job is to stop
 */
export async function referenceStatistics(
  request: FidRefRequest,
  context: JobContext = jobContext(),
): Promise<FidReferenceResult> {
  const { data, dest, features, batch, device } = fidRefOptions(request);
  checkAlone("fid ref", context.rank);
  checkDevice(device);
  makeFolderFor(dest, "dest");
  const network = await openFeatures(features, device);
  using _network = { [Symbol.dispose]: () => network.dispose() };
  using source = await imagesOnDisk(data, { num: null, seed: 0, context });
  context.reporter.print(describeCost({ first: source, sets: 1, reference: 0, network }, context));
  const exchange = new Exchange(`${dest}.parts`, context);
  const set = await withinMemory(
    () => `lower 'batch' (it is ${batch})`,
    () => collect(source, { network, batch, title: data, exchange, context }),
  );
  if (!set?.features) throw new Error("a single process has all features");
  const statistics = featureStatistics(set.features);
  set.dispose();
  context.reporter.clear();
  const protocol: Protocol = {
    subject: source.protocol.subject,
    method: { features: featureFacts(network), reference: referenceFacts(source) },
  };
  const { problem } = await writeOrRescue(dest, (place) => writeStatistics(place, statistics, protocol));
  statistics.mean.dispose();
  statistics.covariance.dispose();
  const result = { count: source.count, dimension: network.dimension, protocol };
  return problem === undefined ? result : { ...result, problem };
}

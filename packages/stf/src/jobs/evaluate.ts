/** Quality numbers as a job: of sets of images, or of what networks draw, against a reference. */

import { FileFormatError, writeFileAtomically } from "@stf/torch";
import { InputError, TeamError, UsageError } from "../common/errors.js";
import { makeFolderFor } from "../common/folders.js";
import { formatDuration } from "../common/text.js";
import { type EvaluateRequest, evaluateOptions, type ResolvedEvaluate } from "../config/evaluate-request.js";
import type { Evaluation } from "../run/evaluation.js";
import { type JobContext, jobContext, Stopped } from "./context.js";
import { checkDevice } from "./device.js";
import { Evaluator } from "./evaluator.js";
import { drawnImages, type ImageSource, imagesOnDisk } from "./image-source.js";
import { withinMemory } from "./memory.js";
import { type Pair, writePairs } from "./pairs.js";
import { writeOrRescue } from "./rescue.js";
import { checkSame, checkSameRequest } from "./same-work.js";
import { snapshotsOf } from "./snapshots.js";

/** The result of {@link evaluate}. */
export interface EvaluateResult {
  /** "stopped" when `context.shouldStop` ended it: the evaluations are those finished by then. */
  readonly reason: "finished" | "stopped";
  /** One for each set or network, in the order of the request; none in processes other than the first. */
  readonly evaluations: readonly Evaluation[];
  /** What could not be computed, or written to its path, in one line. */
  readonly problem?: string;
}

/** What is evaluated: sets of images first, then networks. */
function openers(options: ResolvedEvaluate, context: JobContext): (() => Promise<ImageSource>)[] {
  const { images, network, num, seed } = options;
  return [
    ...(images ?? []).map((path) => () => imagesOnDisk(path, { num, seed, atLeast: num, context })),
    ...snapshotsOf(network ?? []).map((path) => () => drawnImages(options.drawing(path), context)),
  ];
}

/** The evaluations as text of a file. */
export const formatEvaluations = (evaluations: readonly Evaluation[]): string =>
  `${JSON.stringify({ evaluations }, undefined, 2)}\n`;

/** What is finished. It is written after each set, so that a failure in a later one loses nothing. */
class Results {
  readonly evaluations: Evaluation[] = [];
  readonly #pairs: Pair[] = [];
  readonly #options: ResolvedEvaluate;
  /** What could not be computed, or written to its path. */
  problem: string | undefined;

  constructor(options: ResolvedEvaluate) {
    this.#options = options;
    const { dest, pairs } = options;
    if (dest !== null) makeFolderFor(dest, "dest");
    if (pairs !== null) makeFolderFor(pairs, "pairs");
  }

  async add(evaluation: Evaluation, pairs: readonly Pair[], { shape }: ImageSource): Promise<void> {
    const { dest, pairs: picture } = this.#options;
    this.evaluations.push(evaluation);
    this.#pairs.push(...pairs);
    const bytes = new TextEncoder().encode(formatEvaluations(this.evaluations));
    if (dest !== null) await this.#write(dest, (path) => writeFileAtomically(path, bytes));
    if (picture !== null && this.#pairs.length > 0) {
      await this.#write(picture, (path) => writePairs(path, this.#pairs, shape));
    }
  }

  async #write(path: string, write: (path: string) => void): Promise<void> {
    const { problem } = await writeOrRescue(path, write);
    this.problem ??= problem;
  }
}

/**
 * Computes quality numbers of sets of images, or of networks, whose images are drawn in memory; with `dest`, also written to a
 * JSON file. All metrics of a set use one set of features. Several processes can divide the work: the first has the result.
 *
 *     await evaluate({ network: ["runs/00000-my-photos"], ref: "my-photos", features: "features.safetensors", num: 2000 });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used
 */
export async function evaluate(request: EvaluateRequest, context: JobContext = jobContext()): Promise<EvaluateResult> {
  const { rank, reporter, team } = context;
  const options = evaluateOptions(request, team ? 1 : rank.size);
  if (team) checkSameRequest(request, team, ["network", "images", "ref", "features", "dest", "pairs"]);
  checkDevice(options.device);
  const results = new Results(team && rank.rank > 0 ? { ...options, dest: null, pairs: null } : options);
  const work = async (): Promise<void> => {
    using evaluator = await Evaluator.open({ ...options, shared: options.dest ?? "evaluation" }, context);
    reporter.print(
      evaluator.network
        ? `features: ${evaluator.network.title}`
        : "note: without 'features' only pixels are compared; docs/evaluation.md says which features to take",
    );
    const all = openers(options, context);
    if (team) checkSame("number of sets and networks", String(all.length), team);
    for (const [number, open] of all.entries()) {
      using source = await open();
      if (number === 0) {
        reporter.print(evaluator.cost(source, all.length));
        const { dimension = 0 } = evaluator.network ?? {};
        if (source.count < dimension) {
          reporter.print(
            `note: ${source.count} images are fewer than the ${dimension} features: a Fréchet distance of so few is mostly bias; the kernel distance has none`,
          );
        }
      }
      const found = await evaluator.evaluate(source);
      if (!found) continue;
      await results.add(found.evaluation, found.pairs, source);
      for (const line of found.failures) {
        // Metrics that were not asked for are computed as far as possible.
        if (options.metrics === null) reporter.print(`note: ${source.title}: ${line}`);
        else results.problem ??= `${source.title}: ${line}`;
      }
      reporter.printPlain(`${source.title}: ${formatDuration(found.evaluation.seconds)}`);
    }
  };
  let reason: EvaluateResult["reason"] = "finished";
  try {
    await withinMemory(() => `lower 'batch' (it is ${options.batch}) or 'num' (it is ${options.num})`, work);
  } catch (error) {
    const isStopped = error instanceof Stopped;
    // What is finished is returned, though the next set cannot be evaluated.
    const isKnown = [InputError, UsageError, FileFormatError, TeamError].some((kind) => error instanceof kind);
    if (!(error instanceof Error) || !(isStopped || (isKnown && results.evaluations.length > 0))) throw error;
    // The others would wait for this process.
    if (isStopped) team?.stop();
    else team?.fail(error);
    if (isStopped) reason = "stopped";
    else results.problem ??= error.message;
  }
  const { evaluations, problem } = results;
  return { reason, evaluations, ...(problem !== undefined && { problem }) };
}

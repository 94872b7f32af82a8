/** Numbers of quality during a training: evaluations of its snapshots, with a feature network and a reference that stay open. */

import { UsageError } from "../common/errors.js";
import { formatIntegers } from "../common/text.js";
import { needsFeatures } from "../config/evaluate-request.js";
import { drawingOptions, type ResolvedGenerate } from "../config/generate-request.js";
import type { ResolvedOptions } from "../config/resolved-options.js";
import { samplingMethod } from "../config/sampling.js";
import { FEWEST_MEASURED, type MetricRequest, trainingMetrics } from "../config/training-metrics.js";
import { ImageBank } from "../data/image-bank.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import type { Evaluation } from "../run/evaluation.js";
import type { JobContext } from "./context.js";
import { extractionSeconds } from "./evaluation-cost.js";
import { numbersProtocol } from "./evaluator.js";
import { Exchange } from "./exchange.js";
import { collect, type FeatureSet } from "./feature-set.js";
import { bankSource, drawnImages, evaluatedLevels, evaluationSeconds, type ImageSource } from "./image-source.js";
import { numbersCost } from "./numbers-cost.js";
import { openFeatures } from "./open-features.js";
import { QualityMeasure } from "./quality.js";
import { imageReference, type OpenedReference } from "./reference.js";
import { allOf } from "./shared-images.js";
import type { TrainingPlan } from "./training-plan.js";

/** As after the preset fashion-mnist: orders the snapshots of a run as well as more evaluations do. */
const DRAWING = { sampler: "dpm++2m", steps: 10 } as const;
/** Images drawn at once, if a step of the training has as many. */
const MOST_AT_ONCE = 64;
/** Images of the reference. More would hardly change a number, and their features fill memory. */
const MOST_REFERENCE = 100_000;
/** Images at once when speed is measured; a GPU needs more to be busy. */
const TRIAL = 16;

/** What a measurement costs, in seconds, from the speed of this machine. */
export interface MetricsCost {
  /** Of drawing and describing the images, and of their numbers. */
  readonly each: number;
  /** Of describing the training images, and of what the numbers need of these alone. */
  readonly once: number;
  /** Of a network evaluation for an image. */
  readonly evaluation: number;
}

/** What a measurement found. */
export interface MetricsFound {
  /** One for each number of images. */
  readonly evaluations: readonly Evaluation[];
  /** Why numbers are missing, one line each. */
  readonly failures: readonly string[];
}

/** The training images as the data set has them: without labels, and without the mirror images that `xflip` adds. */
function referenceBank({ bank, options }: TrainingPlan): ImageBank {
  const count = options.xflip ? bank.count / 2 : bank.count;
  return new ImageBank(bank.name, bank.shape, allOf(bank).pixels.narrow(0, 0, count));
}

/** The first images of a set; they share its memory. */
function firstOf({ shape, pixels, features, logits }: FeatureSet, count: number): FeatureSet {
  const own = [pixels, features, logits].map((rows) => rows?.narrow(0, 0, count));
  const [first, ...others] = own;
  return {
    shape,
    pixels: first as FeatureSet["pixels"],
    features: others[0],
    logits: others[1],
    dispose: () => own.forEach((rows) => void rows?.dispose()),
  };
}

/** @throws UsageError for numbers that the features or the images do not allow */
function checkPossible(requests: readonly MetricRequest[], network: FeatureNetwork | undefined, images: number): void {
  if (images < FEWEST_MEASURED) {
    throw new UsageError(`'metrics' needs at least ${FEWEST_MEASURED} training images, found ${images}`);
  }
  if (network?.classes === 0 && requests.some(({ names }) => names.includes("score"))) {
    throw new UsageError("'metrics' with is or cs needs a feature network with classes in 'metricsFeatures'");
  }
}

/** Measures snapshots of one training. */
export class TrainingMetrics implements Disposable {
  readonly requests: readonly MetricRequest[];
  readonly cost: MetricsCost;
  /** The feature network; undefined if none is needed. */
  readonly network: FeatureNetwork | undefined;
  readonly #options: ResolvedOptions;
  readonly #images: ImageSource;
  readonly #context: JobContext;
  #reference: OpenedReference | undefined;
  #measure: QualityMeasure | undefined;

  private constructor(
    requests: readonly MetricRequest[],
    plan: TrainingPlan,
    network: FeatureNetwork | undefined,
    images: ImageSource,
    context: JobContext,
  ) {
    this.requests = requests;
    this.#options = plan.options;
    this.network = network;
    this.#images = images;
    this.#context = context;
    this.cost = this.#costOf(plan);
  }

  /**
   * Opens what the options of a training ask for.
   *
   * @returns undefined if they ask for none
   * @throws UsageError for numbers that are not possible; InputError and FileFormatError for a feature network that cannot be used
   */
  static async open(plan: TrainingPlan, context: JobContext): Promise<TrainingMetrics | undefined> {
    const requests = trainingMetrics(plan.options);
    if (requests.length === 0) return undefined;
    const { metricsFeatures, device } = plan.options;
    const isNeeded = requests.some(({ names }) => names.some(needsFeatures));
    const network = isNeeded && metricsFeatures !== null ? await openFeatures(metricsFeatures, device) : undefined;
    const bank = referenceBank(plan);
    try {
      checkPossible(requests, network, bank.count);
      const num = Math.min(bank.count, MOST_REFERENCE);
      const images = bankSource(bank, "the training images", { num, seed: 0, context });
      return new TrainingMetrics(requests, plan, network, images, context);
    } catch (error) {
      network?.dispose();
      bank.dispose();
      throw error;
    }
  }

  /** Images drawn for a measurement. */
  get count(): number {
    return (this.requests.at(-1) as MetricRequest).count;
  }

  /** What is drawn from a snapshot. */
  #drawing(path: string): ResolvedGenerate {
    const { device, precision, batch, batchGpu } = this.#options;
    return drawingOptions({
      ...DRAWING,
      network: path,
      seeds: Array.from({ length: this.count }, (_, seed) => seed),
      batch: Math.min(batchGpu ?? batch, batch, MOST_AT_ONCE),
      device,
      precision,
    });
  }

  /** @throws UsageError when such a network cannot be drawn from; InputError when the features cannot describe its images */
  #costOf({ state: { averaged } }: TrainingPlan): MetricsCost {
    const { now } = this.#context;
    const drawing = this.#drawing("a snapshot");
    const { length } = evaluatedLevels(samplingMethod(drawing, averaged.preconditioning));
    const trial = averaged.device === "cpu" ? Math.min(drawing.batch, TRIAL) : drawing.batch;
    const evaluation = evaluationSeconds(averaged, trial, now);
    const describing = this.network ? extractionSeconds(this.network, averaged.shape, now) : 0;
    const { count } = this.#images;
    this.#context.reporter.update("measuring what the numbers of quality take");
    const numbers = numbersCost(this.requests, count, averaged.shape, this.network, this.#context);
    this.#context.reporter.clear();
    return {
      each: this.count * (length * evaluation + describing) + numbers.each,
      once: count * describing + numbers.once,
      evaluation,
    };
  }

  /** The features of the training images, computed once. */
  async #open(options: Parameters<typeof imageReference>[1]): Promise<QualityMeasure> {
    if (this.#measure) return this.#measure;
    const reference = (await imageReference(this.#images, options)) as OpenedReference;
    this.#reference = reference;
    this.#measure = new QualityMeasure(reference, this.#context);
    return this.#measure;
  }

  /**
   * Evaluates a snapshot, as `stf evaluate` does with the same options.
   *
   * @throws Stopped when the job is to stop; InputError and FileFormatError for a file that cannot be read; SamplingError for images
   * that are not finite
   */
  async evaluate(snapshot: string): Promise<MetricsFound> {
    const context = this.#context;
    const drawing = this.#drawing(snapshot);
    const collecting = {
      network: this.network,
      batch: drawing.batch,
      exchange: new Exchange("", context),
      context,
    };
    const measure = await this.#open(collecting);
    const start = context.now();
    using source = await drawnImages(drawing, context);
    const set = (await collect(source, { ...collecting, title: "metrics" })) as FeatureSet;
    try {
      const found = this.requests.map(({ count, names }) => {
        const own = firstOf(set, count);
        try {
          const { values, methods, failures } = measure.of(own, names);
          const images = { count, seeds: formatIntegers(drawing.seeds.slice(0, count)) };
          const { subject, method } = source.protocol;
          const drawn = { subject, method: { ...method, images } };
          const protocol = numbersProtocol(drawn, this.network, this.#reference as OpenedReference, methods);
          return { evaluation: { values, protocol, seconds: context.now() - start }, failures };
        } finally {
          own.dispose();
        }
      });
      return {
        evaluations: found.map(({ evaluation }) => evaluation),
        failures: found.flatMap(({ failures }) => failures),
      };
    } finally {
      set.dispose();
      context.reporter.clear();
    }
  }

  [Symbol.dispose](): void {
    this.#measure?.dispose();
    this.#reference?.dispose();
    this.#images.dispose();
    this.network?.dispose();
  }
}

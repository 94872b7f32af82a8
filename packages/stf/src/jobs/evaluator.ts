/** What sets of images are evaluated with: feature network, reference and metrics, opened once and used for every set. */

import { type Device, scope } from "@stf/torch";
import { holdsStatistics } from "../checkpoints/statistics-file.js";
import { imagesOf } from "../codecs/planes.js";
import { UsageError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import { needsFeatures } from "../config/evaluate-request.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { type Evaluation, type MetricName, metricNames } from "../run/evaluation.js";
import type { Facts, Protocol } from "../run/protocol.js";
import type { JobContext } from "./context.js";
import { deviceOf } from "./device.js";
import { describeCost } from "./evaluation-cost.js";
import { Exchange } from "./exchange.js";
import { type CollectOptions, collect, type FeatureSet, featureFacts } from "./feature-set.js";
import { type ImageSource, imagesOnDisk } from "./image-source.js";
import { openFeatures } from "./open-features.js";
import type { Pair } from "./pairs.js";
import { checkShapes, QualityMeasure } from "./quality.js";
import { imageReference, type OpenedReference, storedReference } from "./reference.js";

/** What to evaluate with. */
export interface EvaluatorOptions {
  /** Images, or statistics of their features. */
  readonly ref: string;
  /** Reference images that are used, always the same; all if null. */
  readonly refNum: number | null;
  /** The feature network, as {@link openFeatures} takes it; null: only pixels are compared. */
  readonly features: string | null;
  /** All that the reference and the features allow if null. */
  readonly metrics: readonly MetricName[] | null;
  /** Images computed at once. */
  readonly batch: number;
  readonly device: Device;
  /** A file that does not exist yet, beside which several processes share what they computed. */
  readonly shared: string;
  /** Where pairs of copies are to be written; null or left out: nowhere. */
  readonly pairs?: string | null;
}

/** An evaluated set. */
export interface Evaluated {
  readonly evaluation: Evaluation;
  /** The images most like one of the reference, beside that one; none if copies were not searched. */
  readonly pairs: readonly Pair[];
  /** Why metrics are missing, one line each. */
  readonly failures: readonly string[];
}

const MOST_PAIRS = 32;
/** Of the reference images that are used: the same ones whatever the seeds of the images. */
const REFERENCE_SEED = 0;

/** The metrics that are computed. @throws UsageError for one that the reference or the features do not allow. */
function chosenMetrics(
  metrics: readonly MetricName[] | null,
  network: FeatureNetwork | undefined,
  isStatistics: boolean,
): readonly MetricName[] {
  const obstacle = (name: MetricName): string | undefined => {
    if (needsFeatures(name) && !network) return "a feature network, named in 'features'";
    if (name === "score" && network?.classes === 0) return "a feature network with classes";
    if (isStatistics && !["frechet", "score"].includes(name)) {
      return "the images of the reference, not their statistics";
    }
    return undefined;
  };
  for (const name of metrics ?? []) {
    const missing = obstacle(name);
    if (missing !== undefined) throw new UsageError(`'metrics=${name}' needs ${missing}`);
  }
  return metricNames.filter((name) => (metrics ?? metricNames).includes(name) && obstacle(name) === undefined);
}

function pairsOf(
  set: FeatureSet,
  reference: FeatureSet,
  copies: readonly { sample: number; nearest: number }[],
): Pair[] {
  const row = ({ pixels }: FeatureSet, index: number): Uint8Array =>
    scope(() => imagesOf(pixels.narrow(0, index, 1))[0] as Uint8Array);
  return copies.slice(0, MOST_PAIRS).map(({ sample, nearest }) => [row(set, sample), row(reference, nearest)]);
}

/**
 * How numbers were obtained.
 *
 * @param images - where the images are from
 * @param methods - the parameters of each metric
 */
export function numbersProtocol(
  { subject, method }: Protocol,
  network: FeatureNetwork | undefined,
  reference: OpenedReference,
  methods: Readonly<Record<string, Facts>>,
): Protocol {
  const features = network && { features: featureFacts(network) };
  return { subject, method: { ...method, ...features, reference: reference.facts, ...methods } };
}

/** Evaluates sets of images against one reference. */
export class Evaluator {
  readonly network: FeatureNetwork | undefined;
  readonly #wanted: readonly MetricName[];
  readonly #collecting: Omit<CollectOptions, "title">;
  readonly #ref: string;
  readonly #isStatistics: boolean;
  /** Of the reference's images; undefined for statistics. */
  readonly #shape: ImageShape | undefined;
  /** The images of the reference, until their features are collected. */
  #images: ImageSource | undefined;
  #reference: OpenedReference | undefined;
  #measure: QualityMeasure | undefined;

  private constructor(
    network: FeatureNetwork | undefined,
    images: ImageSource | undefined,
    wanted: readonly MetricName[],
    { ref, batch, shared }: EvaluatorOptions,
    context: JobContext,
  ) {
    this.network = network;
    this.#images = images;
    this.#shape = images?.shape;
    this.#wanted = wanted;
    this.#ref = ref;
    this.#isStatistics = images === undefined;
    this.#collecting = { network, batch, exchange: new Exchange(`${shared}.parts`, context), context };
  }

  /**
   * Opens the feature network and the reference.
   *
   * @throws UsageError for metrics that these do not allow; InputError and FileFormatError for files that cannot be used
   */
  static async open(options: EvaluatorOptions, context: JobContext): Promise<Evaluator> {
    const { ref, refNum, features, device } = options;
    const isStatistics = await holdsStatistics(ref);
    if (isStatistics && features === null) {
      throw new UsageError(
        "'ref' with statistics needs the feature network that they were computed with, in 'features'",
      );
    }
    if (isStatistics) {
      const idle = refNum !== null ? "refNum" : (options.pairs ?? null) !== null ? "pairs" : undefined;
      if (idle !== undefined) {
        throw new UsageError(`'${idle}' needs the images of the reference, not their statistics; leave it out`);
      }
    }
    const own = deviceOf(device, context.rank);
    const network = features === null ? undefined : await openFeatures(features, own);
    try {
      const wanted = chosenMetrics(options.metrics, network, isStatistics);
      const images = isStatistics ? undefined : await imagesOnDisk(ref, { num: refNum, seed: REFERENCE_SEED, context });
      return new Evaluator(network, images, wanted, options, context);
    } catch (error) {
      network?.dispose();
      throw error;
    }
  }

  /** What evaluating `sets` sets like the first one costs, in one line. @throws InputError for images that the feature network cannot describe. */
  cost(first: ImageSource, sets: number): string {
    const { network, context } = this.#collecting;
    return describeCost({ first, sets, reference: this.#images?.count ?? 0, network }, context);
  }

  /** Computes the features of the reference, once. Undefined in processes other than the first, unless it is statistics. */
  async #openReference(): Promise<OpenedReference | undefined> {
    if (this.#reference) return this.#reference;
    if (this.#images) {
      this.#reference = await imageReference(this.#images, this.#collecting);
      this.#images.dispose();
      this.#images = undefined;
    } else if (this.#isStatistics && this.network) {
      this.#reference = await storedReference(this.#ref, this.network);
    }
    this.#measure = this.#reference && new QualityMeasure(this.#reference, this.#collecting.context);
    return this.#reference;
  }

  /**
   * Evaluates a set.
   *
   * @returns undefined in processes other than the first
   * @throws InputError for images that do not go with the reference; Stopped when the job is to stop
   */
  async evaluate(source: ImageSource): Promise<Evaluated | undefined> {
    // Before anything is drawn.
    checkShapes(source.shape, this.#shape ?? source.shape, this.#wanted, source.title);
    const reference = await this.#openReference();
    const { context, network } = this.#collecting;
    const start = context.now();
    const set = await collect(source, { ...this.#collecting, title: source.title });
    if (!set || !reference || !this.#measure) return undefined;
    try {
      const { values, methods, copies, failures } = this.#measure.of(set, this.#wanted);
      context.reporter.clear();
      const protocol = numbersProtocol(source.protocol, network, reference, methods);
      const pairs = copies && reference.set ? pairsOf(set, reference.set, copies) : [];
      return { evaluation: { values, protocol, seconds: context.now() - start }, pairs, failures };
    } finally {
      set.dispose();
    }
  }

  /** Frees the feature network and the reference, and removes what processes shared. */
  dispose(): void {
    this.#collecting.exchange.finish();
    this.#images?.dispose();
    this.#measure?.dispose();
    this.#reference?.dispose();
    this.network?.dispose();
  }

  /** What `using` calls: {@link dispose}. */
  [Symbol.dispose](): void {
    this.dispose();
  }
}

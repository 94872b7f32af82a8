/** The metrics of a set of images against a reference, on one set of features. */

import { scope, type Tensor, tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { formatImageShape, type ImageShape } from "../common/image-shape.js";
import { needsFeatures } from "../config/evaluate-request.js";
import { ChannelAccumulator, type ChannelMoments, compareChannels } from "../metrics/channel-moments.js";
import { type CopyPair, type CopyReport, findCopies } from "../metrics/copies.js";
import { meanOf } from "../metrics/estimate.js";
import { type FeatureStatistics, featureStatistics } from "../metrics/feature-statistics.js";
import { frechetDistance } from "../metrics/frechet.js";
import { inceptionScore } from "../metrics/inception-score.js";
import { kernelDistance } from "../metrics/kernel-distance.js";
import { precisionRecall } from "../metrics/precision-recall.js";
import { slicedWasserstein, slicedWassersteinFloor } from "../metrics/sliced-wasserstein.js";
import { PacketAccumulator, type PacketStatistics, packetDistance } from "../metrics/wavelet-packets.js";
import { chosenSubset, RandomState } from "../random/random-state.js";
import type { Measured, MetricName } from "../run/evaluation.js";
import type { Facts } from "../run/protocol.js";
import { checkStop, type JobContext } from "./context.js";
import type { FeatureSet } from "./feature-set.js";

/** What sets are compared with: statistics of features, and the images themselves if they are at hand. */
export interface Reference {
  /** Mean and covariance of the features; undefined without a feature network. */
  readonly statistics: FeatureStatistics | undefined;
  /** Undefined for statistics from a file. */
  readonly set: FeatureSet | undefined;
}

/** A number with what belongs to its method. */
interface Result {
  readonly measured: Measured;
  readonly facts?: Facts;
}

/** The metrics of a set, and what only those know that compute them. */
export interface Quality {
  readonly values: Partial<Readonly<Record<MetricName, Measured>>>;
  /** The parameters of each metric that has some. */
  readonly methods: Readonly<Record<string, Facts>>;
  /** The samples by their likeness to a training image; undefined if copies were not searched. */
  readonly copies: readonly CopyPair[] | undefined;
  /** Why metrics are missing, one line each. */
  readonly failures: readonly string[];
}

/** What is computed of a set, in this order, before the search for copies. */
const computations = ["frechet", "kernel", "slicedWasserstein", "precision", "score", "wavelet", "mean"] as const;
const computedTogether: Partial<Readonly<Record<MetricName, readonly MetricName[]>>> = {
  precision: ["precision", "recall"],
  mean: ["mean", "contrast"],
};

/** Of directions, blocks, and choices among the reference: always the same, so that numbers of other images compare. */
const SEED = 0;
const DIRECTIONS = 1000;
const FLOOR_DIVISIONS = 8;
const ERROR_PARTS = 8;
const NEIGHBOURS = 3;
const IMAGES_AT_ONCE = 1024;

/** Images as batches `[B, C, H, W]`. */
function forEachBatch({ pixels, shape }: FeatureSet, body: (images: Tensor) => void): void {
  const { channels, height, width } = shape;
  const count = pixels.size(0);
  for (let first = 0; first < count; first += IMAGES_AT_ONCE) {
    scope(() => {
      const length = Math.min(IMAGES_AT_ONCE, count - first);
      body(pixels.narrow(0, first, length).view([length, channels, height, width]));
    });
  }
}

function packetsOf(set: FeatureSet): PacketStatistics {
  using packets = new PacketAccumulator(set.shape);
  forEachBatch(set, (images) => packets.add(images));
  return packets.statistics();
}

function channelsOf(set: FeatureSet): ChannelMoments[] {
  const channels = new ChannelAccumulator(set.shape.channels);
  forEachBatch(set, (images) => channels.add(images));
  return channels.moments();
}

/** The mean over channels, with each channel. */
function overChannels(perChannel: readonly Measured[]): Measured {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  return { value: mean(perChannel.map(({ value }) => value)), perChannel };
}

/** Compares sets with one reference; what only depends on the reference is computed once. */
export class QualityMeasure {
  readonly #reference: Reference;
  readonly #context: JobContext;
  #packets: PacketStatistics | undefined;
  #channels: ChannelMoments[] | undefined;
  readonly #floors = new Map<number, number>();

  constructor(reference: Reference, context: JobContext) {
    this.#reference = reference;
    this.#context = context;
  }

  /** The reference's images. */
  get #set(): FeatureSet {
    return this.#reference.set as FeatureSet;
  }

  #features({ features }: FeatureSet): { readonly own: Tensor; readonly other: Tensor } {
    return { own: features as Tensor, other: this.#set.features as Tensor };
  }

  #progress(name: string): (done: number, total: number) => void {
    return (done, total) => {
      checkStop(this.#context);
      this.#context.reporter.update(`${name}: ${Math.floor((100 * done) / total)} %`);
    };
  }

  #frechet({ features }: FeatureSet): Result {
    const own = (): FeatureStatistics => featureStatistics(features as Tensor);
    const value = scope(() => frechetDistance(own(), this.#reference.statistics as FeatureStatistics));
    return { measured: { value } };
  }

  #kernel(set: FeatureSet): Result {
    const { own, other } = this.#features(set);
    const measured = kernelDistance(own, other, { seed: SEED, onProgress: this.#progress("kernel distance") });
    return { measured, facts: { seed: SEED } };
  }

  /** The mean over several random divisions of the reference: one alone is off by as much as its value. */
  #floor(other: Tensor, count: number): number {
    const known = this.#floors.get(count);
    if (known !== undefined) return known;
    const floors = Array.from(
      { length: FLOOR_DIVISIONS },
      (_, seed) => slicedWassersteinFloor(other, count, { directions: DIRECTIONS / FLOOR_DIVISIONS, seed }).value,
    );
    const floor = floors.reduce((sum, value) => sum + value, 0) / FLOOR_DIVISIONS;
    this.#floors.set(count, floor);
    return floor;
  }

  /**
   * The scatter of the distance between random parts of the images: directions are the same for every set, so that only the
   * choice of images makes two sets of one network differ.
   */
  #errorOverParts(own: Tensor, other: Tensor): number | undefined {
    const count = own.size(0);
    if (count < 2 * ERROR_PARTS) return undefined;
    const order = Int32Array.from({ length: count }, (_, i) => i);
    new RandomState(SEED).shuffle(order);
    const options = { directions: DIRECTIONS / ERROR_PARTS, seed: SEED };
    const distances = Array.from({ length: ERROR_PARTS }, (_, part) =>
      scope(() => {
        const at = (index: number): number => Math.floor((index * count) / ERROR_PARTS);
        const rows = own.indexSelect(0, tensor(order.slice(at(part), at(part + 1))));
        return slicedWasserstein(rows, other, options).value;
      }),
    );
    return meanOf(distances).error;
  }

  #slicedWasserstein(set: FeatureSet): Result {
    const { own, other } = this.#features(set);
    const floor = this.#floor(other, own.size(0));
    const options = { directions: DIRECTIONS, seed: SEED, onProgress: this.#progress("sliced Wasserstein") };
    const { value } = slicedWasserstein(own, other, options);
    const error = this.#errorOverParts(own, other);
    const measured = { value, floor, ...(error !== undefined && { error }) };
    return { measured, facts: { directions: DIRECTIONS, seed: SEED } };
  }

  /** As published, with as many reference images as samples: more of them make precision easier and recall harder. */
  #precisionRecall(set: FeatureSet): { readonly precision: Result; readonly recall: Result } {
    const { own, other } = this.#features(set);
    const chosen = chosenSubset(other.size(0), own.size(0), SEED);
    const facts = { neighbours: NEIGHBOURS, reference: chosen.length, seed: SEED };
    const { precision, recall } = scope(() =>
      precisionRecall(other.indexSelect(0, tensor(chosen)), own, {
        neighbours: NEIGHBOURS,
        onProgress: this.#progress("precision and recall"),
      }),
    );
    return { precision: { measured: precision, facts }, recall: { measured: recall, facts } };
  }

  /** The error is that of images in random order; data sets are often sorted by class. */
  #score({ logits }: FeatureSet): Result {
    const scores = logits as Tensor;
    const order = Int32Array.from({ length: scores.size(0) }, (_, i) => i);
    new RandomState(SEED).shuffle(order);
    return { measured: scope(() => inceptionScore(scores.indexSelect(0, tensor(order)))), facts: { splits: 1 } };
  }

  #wavelet(set: FeatureSet): Result {
    this.#packets ??= packetsOf(this.#set);
    const packets = this.#packets;
    const { value, protocol } = scope(() => packetDistance(packetsOf(set), packets));
    return { measured: { value }, facts: { wavelet: protocol.wavelet, level: protocol.level } };
  }

  #channelDifferences(set: FeatureSet): { readonly mean: Result; readonly contrast: Result } {
    this.#channels ??= channelsOf(this.#set);
    const differences = compareChannels(channelsOf(set), this.#channels);
    const result = (name: "mean" | "contrast"): Result => ({
      measured: overChannels(differences.map((difference) => difference[name])),
    });
    return { mean: result("mean"), contrast: result("contrast") };
  }

  /** Frees what was kept. */
  dispose(): void {
    this.#packets?.mean.dispose();
    this.#packets?.covariance.dispose();
    this.#packets = undefined;
  }

  /** The results by metric, of the metrics that are computed together under this name. */
  #compute(set: FeatureSet, name: (typeof computations)[number]): Partial<Record<MetricName, Result>> {
    switch (name) {
      case "precision":
        return this.#precisionRecall(set);
      case "score":
        return { score: this.#score(set) };
      case "mean":
        return this.#channelDifferences(set);
      case "frechet":
        return { frechet: this.#frechet(set) };
      case "kernel":
        return { kernel: this.#kernel(set) };
      case "slicedWasserstein":
        return { slicedWasserstein: this.#slicedWasserstein(set) };
      case "wavelet":
        return { wavelet: this.#wavelet(set) };
    }
  }

  #copies(set: FeatureSet): { readonly copies: Result; readonly report: CopyReport } {
    const report = findCopies(set.pixels, this.#set.pixels, { onProgress: this.#progress("copies") });
    return { copies: { measured: report.share, facts: { space: "pixels", threshold: report.threshold } }, report };
  }

  /**
   * The metrics of a set. One that cannot be computed, of too few images for instance, does not cost the others, because the
   * images may have taken hours.
   *
   * @throws InputError for images of another shape, and when no metric can be computed; Stopped when the job is to stop
   */
  of(set: FeatureSet, wanted: readonly MetricName[]): Quality {
    const { shape } = this.#reference.set ?? set;
    checkShapes(set.shape, shape, wanted);
    const results: Partial<Record<MetricName, Result>> = {};
    const failures: { readonly name: string; readonly error: InputError }[] = [];
    const attempt = (names: readonly MetricName[], compute: () => Partial<Record<MetricName, Result>>): void => {
      const chosen = names.filter((name) => wanted.includes(name));
      if (chosen.length === 0) return;
      try {
        const found = compute();
        for (const name of chosen) results[name] = found[name] as Result;
      } catch (error) {
        if (!(error instanceof InputError)) throw error;
        failures.push({ name: chosen.join(" and "), error });
      }
    };
    for (const name of computations) attempt(computedTogether[name] ?? [name], () => this.#compute(set, name));
    let report: CopyReport | undefined;
    attempt(["copies"], () => {
      const found = this.#copies(set);
      report = found.report;
      return { copies: found.copies };
    });
    const [first] = failures;
    const kept = Object.entries(results);
    if (first && kept.length === 0) throw first.error;
    return {
      values: Object.fromEntries(kept.map(([name, { measured }]) => [name, measured])),
      methods: Object.fromEntries(kept.flatMap(([name, { facts }]) => (facts ? [[name, facts]] : []))),
      copies: report?.pairs,
      failures: failures.map(({ name, error }) => `${name} could not be computed: ${error.message}`),
    };
  }
}

/**
 * Pixels are compared value by value, features are not.
 *
 * @throws InputError when a wanted metric compares pixels, and the shapes differ
 */
export function checkShapes(
  found: ImageShape,
  wanted: ImageShape,
  metrics: readonly MetricName[],
  name = "the images",
): void {
  const [own, other] = [formatImageShape(found), formatImageShape(wanted)];
  if (own === other || metrics.every(needsFeatures)) return;
  const left = metrics.filter(needsFeatures);
  const advice = left.length > 0 ? `compare features alone, with 'metrics=${left}', or ` : "";
  throw new InputError(
    `${name} must have the shape of the reference's, ${other}, found ${own}; ${advice}convert them with 'stf dataset convert'`,
  );
}

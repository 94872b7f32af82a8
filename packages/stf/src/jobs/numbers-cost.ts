/** What computing numbers of quality takes, besides drawing images and describing them, from a few sets of random ones. */

import { Generator, randint, randn, scope } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { ImageShape } from "../common/image-shape.js";
import type { MetricRequest } from "../config/training-metrics.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { featureStatistics } from "../metrics/feature-statistics.js";
import { type JobContext, jobContext } from "./context.js";
import type { FeatureSet } from "./feature-set.js";
import { QualityMeasure } from "./quality.js";

/** Rows of the two sets. */
interface Sizes {
  readonly images: number;
  readonly reference: number;
}

/** Rows of the smaller random sets. Some numbers divide the reference into parts as large as the set. */
const ROWS: Sizes = { images: 250, reference: 1000 };

/** Seconds of the numbers of a set: for each set, and once for the reference. */
export interface NumbersCost {
  readonly each: number;
  readonly once: number;
}

type Described = Pick<FeatureNetwork, "dimension" | "classes"> | undefined;

function randomSet(count: number, shape: ImageShape, network: Described, generator: Generator): FeatureSet {
  const { channels, height, width } = shape;
  const classes = network?.classes ?? 0;
  return {
    shape,
    pixels: randint(0, 256, [count, channels * height * width], { generator }).to({ dtype: "uint8" }),
    features: network && randn([count, network.dimension], { generator }),
    logits: classes > 0 ? randn([count, classes], { generator }) : undefined,
    dispose() {},
  };
}

/** A set is measured twice: what is kept of the reference is computed the first time. */
function measured(
  names: MetricRequest["names"],
  { images, reference }: Sizes,
  shape: ImageShape,
  network: Described,
  { now, shouldStop }: JobContext,
): NumbersCost {
  return scope(() => {
    using generator = new Generator(0);
    const [own, other] = [images, reference].map((count) => randomSet(count, shape, network, generator)) as [
      FeatureSet,
      FeatureSet,
    ];
    const measureOf = (): QualityMeasure => {
      const statistics = other.features && featureStatistics(other.features);
      return new QualityMeasure({ set: other, statistics }, jobContext({ now, shouldStop }));
    };
    const secondsOf = (measure: QualityMeasure): number => {
      const start = now();
      measure.of(own, names);
      return now() - start;
    };
    try {
      const measure = measureOf();
      const first = secondsOf(measure);
      const each = secondsOf(measure);
      return { each, once: Math.max(first - each, 0) };
    } catch (error) {
      // So few random images may not have any of the numbers.
      if (!(error instanceof InputError)) throw error;
      return { each: 0, once: 0 };
    }
  });
}

/** @param costOf - what smaller sets cost: of `few` images, and of twice as many of either */
export function extrapolated(few: Sizes, all: Sizes, costOf: (sizes: Sizes) => NumbersCost): NumbersCost {
  const least = costOf(few);
  const moreImages = costOf({ ...few, images: 2 * few.images });
  const moreReference = costOf({ ...few, reference: 2 * few.reference });
  const secondsOf = (when: keyof NumbersCost): number => {
    const perImage = Math.max(moreImages[when] - least[when], 0) / few.images;
    const perReference = Math.max(moreReference[when] - least[when], 0) / few.reference;
    return least[when] + perImage * (all.images - few.images) + perReference * (all.reference - few.reference);
  };
  return { each: secondsOf("each"), once: secondsOf("once") };
}

/**
 * Seconds of all numbers of a measurement, by extrapolation: linear in the images of either set, as all are but those that compare
 * every pair.
 *
 * @param reference - number of reference images
 * @throws Stopped when the job is to stop
 */
export function numbersCost(
  requests: readonly MetricRequest[],
  reference: number,
  shape: ImageShape,
  network: Described,
  context: JobContext,
): NumbersCost {
  const few = (of: keyof Sizes, count: number): number => Math.max(1, Math.min(ROWS[of], count >> 1));
  const costs = requests.map(({ names, count }) =>
    extrapolated(
      { images: few("images", count), reference: few("reference", reference) },
      { images: count, reference },
      (sizes) => measured(names, sizes, shape, network, context),
    ),
  );
  const sum = (when: keyof NumbersCost): number => costs.reduce((total, cost) => total + cost[when], 0);
  return { each: sum("each"), once: sum("once") };
}

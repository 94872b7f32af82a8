/** The statistics of a run: the lines of stats.jsonl, their names and units. */

/** One statistic over the time since the previous line. */
export interface Statistic {
  /** Number of values. */
  readonly num: number;
  /** Their mean. */
  readonly mean: number;
  /** Their standard deviation, divided by `num`; 0 for one value. */
  readonly std: number;
}

/** Bands of noise levels for which errors are reported: from `from` on, below `to`. */
export const noiseBands = [
  { name: "below-0.1", from: 0, to: 0.1 },
  { name: "0.1-0.5", from: 0.1, to: 0.5 },
  { name: "0.5-2", from: 0.5, to: 2 },
  { name: "2-10", from: 2, to: 10 },
  { name: "above-10", from: 10, to: Number.POSITIVE_INFINITY },
] as const;

/** The name of a band of noise levels. */
export type NoiseBand = (typeof noiseBands)[number]["name"];

/** A mean over the noise levels of training, and over those of each band. */
type Banded<Name extends string> = { readonly [K in Name | `${Name}/${NoiseBand}`]: Statistic };

/**
 * Errors of the averaged weights on a few samples, the same ones at every tick: per value, with the weight of the training loss.
 * They are missing from lines of ticks without a measurement. Those over all noise levels weight the bands by how often they occur in
 * training; their standard error is `std` divided by the square root of `num`, like that of a plain mean.
 *
 * - "Loss/excess": E ||D - D*||², with D* the exact denoiser of the training images.
 * - "Loss/seen": E ||D - y||² on training images; with held-out images only, as the following.
 * - "Loss/held_out": the same on held-out images, with the same noise.
 * - "Loss/gap": the loss on held-out images less that on training images.
 */
export type ErrorStatistics = Banded<"Loss/excess"> &
  Banded<"Loss/seen"> &
  Banded<"Loss/held_out"> & { readonly "Loss/gap": Statistic };

/** The statistics of a tick, under the names of the published code if it has them. */
export interface TickStatistics extends ErrorStatistics {
  /** Weighted squared error per value. */
  readonly "Loss/loss": Statistic;
  /** Number of the tick in its run. */
  readonly "Progress/tick": Statistic;
  /** Thousands of images since the start of the run. */
  readonly "Progress/kimg": Statistic;
  /** Seconds of training. */
  readonly "Timing/total_sec": Statistic;
  /** Seconds since the previous tick. */
  readonly "Timing/sec_per_tick": Statistic;
  /** Seconds per thousand images. */
  readonly "Timing/sec_per_kimg": Statistic;
  /** Images per second. */
  readonly "Timing/images_per_sec": Statistic;
  /** GiB of memory used by the process. */
  readonly "Resources/cpu_mem_gb": Statistic;
  /** Number of live tensors. */
  readonly "Resources/tensors": Statistic;
  /** GiB held by tensors. */
  readonly "Resources/tensor_mem_gb": Statistic;
}

/** The name of a statistic. */
export type StatisticName = keyof TickStatistics;

/** One line of stats.jsonl: statistics by name, and the time of writing. */
export interface StatsLine extends Partial<TickStatistics> {
  /** Seconds since 1970. */
  readonly timestamp: number;
}

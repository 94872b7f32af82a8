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

/** A band of noise levels for which errors are reported. */
export interface NoiseBand {
  /** Its name in the names of statistics. */
  readonly name: string;
  /** Its lowest level. */
  readonly from: number;
  /** The level that it ends below. */
  readonly to: number;
}

/** All noise levels, in bands. */
export const noiseBands: readonly NoiseBand[] = [
  { name: "below-0.1", from: 0, to: 0.1 },
  { name: "0.1-0.5", from: 0.1, to: 0.5 },
  { name: "0.5-2", from: 0.5, to: 2 },
  { name: "2-10", from: 2, to: 10 },
  { name: "above-10", from: 10, to: Number.POSITIVE_INFINITY },
];

/**
 * Errors of the averaged weights on a few samples, the same ones at every tick: per value, with the weight of the training loss. They
 * are missing from lines of ticks without a measurement. Those over all noise levels weight the bands by how often they occur in
 * training; their standard error is `std` divided by the square root of `num`, like that of a plain mean.
 */
export interface ErrorStatistics {
  /** E ||D - D*||², with D* the exact denoiser of the training images. */
  readonly "Loss/excess": Statistic;
  /** E ||D - y||² on training images; measured only if there are held-out images. */
  readonly "Loss/seen": Statistic;
  /** The same on held-out images, with the same noise. */
  readonly "Loss/held_out": Statistic;
  /** The loss on held-out images less that on training images. */
  readonly "Loss/gap": Statistic;
  /** The first three within a band of {@link noiseBands}. */
  readonly [name: `Loss/${"excess" | "seen" | "held_out"}/${string}`]: Statistic;
}

/** Numbers of quality of a network snapshot. They are on lines of their own, with `Progress/kimg`. */
export interface MetricStatistics {
  /**
   * A number under the name that `stf evaluate` prints, which says of how many images it is: Metrics/fd5k. `num` is that number, and
   * `std` divided by its square root the standard error; 0 where it is not known.
   */
  readonly [name: `Metrics/${string}`]: Statistic;
  /** Seconds that the measurement took. */
  readonly "Timing/metrics_sec": Statistic;
}

/** The statistics of a tick, under the names of the published code if it has them. */
export interface TickStatistics extends ErrorStatistics, MetricStatistics {
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

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

/** The statistics of a tick, under the names of the published code if it has them. */
export interface TickStatistics {
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

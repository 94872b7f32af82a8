/** What a run measures: the lines of stats.jsonl, their names and units. */

/** One statistic since the previous line. */
export interface Statistic {
  /** How many values it is made of. */
  readonly num: number;
  /** Their mean. */
  readonly mean: number;
  /** Their standard deviation, divided by `num`; 0 for one value. */
  readonly std: number;
}

/** The statistics of a tick. The names are the published code's where it has them. */
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
  /** Seconds for a thousand images. */
  readonly "Timing/sec_per_kimg": Statistic;
  /** Images in a second. */
  readonly "Timing/images_per_sec": Statistic;
  /** GiB of memory that the process has. */
  readonly "Resources/cpu_mem_gb": Statistic;
  /** How many tensors are alive. */
  readonly "Resources/tensors": Statistic;
  /** GiB that they hold. */
  readonly "Resources/tensor_mem_gb": Statistic;
}

/** What a statistic is called. */
export type StatisticName = keyof TickStatistics;

/** One line of stats.jsonl: statistics by name, and when it was written. */
export interface StatsLine extends Partial<TickStatistics> {
  /** Seconds since 1970. */
  readonly timestamp: number;
}

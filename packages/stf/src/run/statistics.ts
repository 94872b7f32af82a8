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

/** A quantity of {@link tickQuantities}. */
export interface Quantity {
  /** Its unit; "1" for numbers and shares. */
  readonly unit: string;
  /** What it is, in a phrase. */
  readonly about: string;
}

/** The name of a quantity of every tick; that of the published code if it has it. */
export type TickQuantity =
  | "Loss/loss"
  | "Target/one_hot"
  | "Optimizer/lr"
  | "Optimizer/grad_norm"
  | "Optimizer/skipped"
  | "Progress/tick"
  | "Progress/kimg"
  | "Timing/total_sec"
  | "Timing/sec_per_tick"
  | "Timing/sec_per_kimg"
  | "Timing/maintenance_sec"
  | "Timing/images_per_sec"
  | "Timing/ranks_wait_sec"
  | "Resources/cpu_mem_gb"
  | "Resources/peak_cpu_mem_gb"
  | "Resources/peak_gpu_mem_gb"
  | "Resources/peak_gpu_mem_reserved_gb"
  | "Resources/tensors"
  | "Resources/tensor_mem_gb";

/** The quantities of a tick besides errors and metrics. */
export const tickQuantities: Readonly<Record<TickQuantity, Quantity>> = {
  "Loss/loss": { unit: "1", about: "weighted squared error per value, over the images of the tick" },
  "Target/one_hot": { unit: "1", about: "share of stable targets that are their source, within half a grey level" },
  "Optimizer/lr": { unit: "1", about: "learning rate" },
  "Optimizer/grad_norm": { unit: "1", about: "Euclidean norm of the gradient, before it is clipped" },
  "Optimizer/skipped": { unit: "1", about: "share of steps skipped, because a gradient was not finite" },
  "Progress/tick": { unit: "1", about: "number of the tick in its run" },
  "Progress/kimg": { unit: "1000 images", about: "images since the start of the run" },
  "Timing/total_sec": { unit: "s", about: "time of training since the start of the run" },
  "Timing/sec_per_tick": { unit: "s", about: "time since the previous tick, without maintenance" },
  "Timing/sec_per_kimg": { unit: "s", about: "time per thousand images" },
  "Timing/maintenance_sec": {
    unit: "s",
    about: "time for saving, and for drawing and measuring at snapshots, since the previous tick",
  },
  "Timing/images_per_sec": { unit: "1/s", about: "images per second" },
  "Timing/ranks_wait_sec": {
    unit: "s",
    about: "of several processes, the time per step that the first waits for sums after its backward pass",
  },
  "Resources/cpu_mem_gb": { unit: "GiB", about: "memory of the process" },
  "Resources/peak_cpu_mem_gb": { unit: "GiB", about: "the most that it has been, since the process started" },
  "Resources/peak_gpu_mem_gb": { unit: "GiB", about: "the most in tensors on the GPU since the previous tick" },
  "Resources/peak_gpu_mem_reserved_gb": { unit: "GiB", about: "what libtorch holds on the GPU" },
  "Resources/tensors": { unit: "1", about: "number of live tensors" },
  "Resources/tensor_mem_gb": { unit: "GiB", about: "memory held by tensors" },
};

/** The statistics of a tick, by name. */
export type TickStatistics = ErrorStatistics & MetricStatistics & Readonly<Record<TickQuantity, Statistic>>;

/** The name of a statistic. */
export type StatisticName = keyof TickStatistics;

/** One line of stats.jsonl: statistics by name, and the time of writing. */
export type StatsLine = Partial<TickStatistics> & {
  /** Seconds since 1970. */
  readonly timestamp: number;
};

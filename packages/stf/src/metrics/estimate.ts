/** The value of a metric, with its statistical error where the metric has one. */
export interface Estimate {
  readonly value: number;
  /** Standard error; undefined where it is not known. */
  readonly error?: number;
}

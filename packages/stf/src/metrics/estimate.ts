/** The value of a metric, with its statistical error where the metric has one. */
export interface Estimate {
  /** What was found. */
  readonly value: number;
  /** Standard error; undefined where it is not known. */
  readonly error?: number;
}

/** Mean of independent values and its standard error, which one value does not have. */
export function meanOf(values: ArrayLike<number>): Estimate {
  const list = Array.from(values);
  const count = list.length;
  const value = list.reduce((sum, x) => sum + x, 0) / count;
  if (count < 2) return { value };
  const squares = list.reduce((sum, x) => sum + (x - value) ** 2, 0);
  return { value, error: Math.sqrt(squares / (count - 1) / count) };
}

/**
 * The share of `count` independent items that have a property. The error is the standard deviation of the share's posterior
 * under a uniform prior, which is not 0 when none or all have it.
 */
export function shareOf(hits: number, count: number): Estimate {
  const expected = (hits + 1) / (count + 2);
  return { value: hits / count, error: Math.sqrt((expected * (1 - expected)) / (count + 3)) };
}

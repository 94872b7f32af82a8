/** Two sides of a comparison, measured in turns, so that a machine that speeds up or slows down does so for both. */

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};

/** Seconds that `body` takes. */
export function time(body: () => void): number {
  const start = performance.now();
  body();
  return (performance.now() - start) / 1000;
}

export interface Comparison {
  /** Medians, in the unit of the measurements. */
  readonly ours: number;
  readonly theirs: number;
  /** Median over the rounds of theirs / ours: above 1 means that ours is faster. */
  readonly ratio: number;
}

/** Measures both sides in turns: one round that is not counted, then `rounds`. */
export async function compare(
  ours: () => number | Promise<number>,
  theirs: () => number | Promise<number>,
  rounds: number,
): Promise<Comparison> {
  const pairs: [number, number][] = [];
  for (let round = 0; round <= rounds; round++) {
    const pair: [number, number] = [await ours(), await theirs()];
    if (round > 0) pairs.push(pair);
  }
  return {
    ours: median(pairs.map(([a]) => a)),
    theirs: median(pairs.map(([, b]) => b)),
    ratio: median(pairs.map(([a, b]) => b / a)),
  };
}

/** Measures alone: one run that is not counted, then the median of `rounds`. */
export async function measure(body: () => number | Promise<number>, rounds: number): Promise<number> {
  await body();
  const values: number[] = [];
  for (let round = 0; round < rounds; round++) values.push(await body());
  return median(values);
}

/** The sides of a comparison, measured alternately, so that changes in the machine's speed affect all of them. */

export const median = (values: readonly number[]): number => {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
};

/** Seconds that `body` takes on the CPU. */
export function time(body: () => void): number {
  const start = performance.now();
  body();
  return (performance.now() - start) / 1000;
}

/** How long to measure a row. */
export interface Budget {
  /** No round begins after this many seconds, once there are `least`. */
  readonly seconds: number;
  readonly least: number;
  readonly most: number;
  /** Rounds before the first that counts; 1 when left out. */
  readonly uncounted?: number;
}

/** The cost of one side of a comparison: seconds, or bytes. */
export type Cost = () => number | Promise<number>;

/** Measures all sides alternately, as long as the budget allows. Returns the values of each side, round by round. */
export async function inTurns(
  sides: readonly Cost[],
  { seconds, least, most, uncounted = 1 }: Budget,
): Promise<number[][]> {
  const values = sides.map((): number[] => []);
  for (let round = 0; round < uncounted; round++) {
    for (const side of sides) await side();
  }
  const start = performance.now();
  const isOver = (round: number): boolean =>
    round >= most || (round >= least && performance.now() - start > 1000 * seconds);
  for (let round = 0; !isOver(round); round++) {
    for (const [i, side] of sides.entries()) values[i]?.push(await side());
  }
  return values;
}

/** The median over the rounds of theirs / ours: above 1 means that ours costs less. */
export function ratioOf(ours: readonly number[], theirs: readonly number[]): number {
  return median(ours.map((cost, round) => (theirs[round] as number) / cost));
}

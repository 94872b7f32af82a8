/** The samples of an analysis, which several processes can share. */

import { partOf } from "../common/ranks.js";

/** What is found of one sample: some arrays, which have the same lengths for all samples. */
export type SampleValues = readonly Float64Array[];

/** The processes that share the samples of an analysis. */
export interface SampleRanks {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** What all processes found, one process after the other, to the last bit; in all of them. */
  gather(own: readonly SampleValues[]): SampleValues[];
}

/** How many samples there are, and who computes them. */
export interface SampleOptions {
  /** Number of noisy samples. */
  readonly samples: number;
  /** The processes that share them; none when left out. Each has the result. */
  readonly ranks?: SampleRanks | undefined;
  /** Called after each sample with the number done, of several processes about that of all; may throw to stop. */
  readonly onSample?: ((done: number) => void) | undefined;
}

/** What is found of each sample, in order. Of several processes each computes a part; a sample's values depend on its number alone. */
export function valuesOfSamples(
  { samples, ranks, onSample }: SampleOptions,
  valuesOf: (sample: number) => SampleValues,
): SampleValues[] {
  const { first, end } = partOf(samples, ranks ?? { rank: 0, size: 1 });
  const own: SampleValues[] = [];
  for (let sample = first; sample < end; sample++) {
    own.push(valuesOf(sample));
    onSample?.(Math.floor((own.length * samples) / (end - first)));
  }
  return ranks ? ranks.gather(own) : own;
}

/** All benchmarks, in the order of the report. */

import { UsageError } from "stf";
import type { Benchmark } from "../benchmark.js";
import type { Flags } from "../flags.js";
import type { Place } from "../place.js";
import { commandBenchmarks } from "./command.js";
import { decodingBenchmarks } from "./decoding.js";
import { limitBenchmarks } from "./limits.js";
import { deviceMemoryBenchmarks, memoryBenchmarks } from "./memory.js";
import { operatorBenchmarks } from "./operators.js";
import { samplingBenchmarks } from "./sampling.js";
import { targetBenchmarks } from "./targets.js";
import { trainingBenchmarks } from "./training.js";

/** The rows of the published figures come first, because a GPU may be available only for minutes. */
const firstOnGpu = [
  "train step, ddpmpp, DSM, bf16",
  "train step, ddpmpp, DSM augmented, bf16",
  "train step, ddpmpp, DSM augmented, fp32",
  "train step, ddpmpp, STF consistent, sigma > 0.8, bf16",
  "train step, ddpmpp, STF, n=50000 (all), bf16",
];

function byImportance(a: Benchmark, b: Benchmark): number {
  const rank = ({ name }: Benchmark): number =>
    firstOnGpu.includes(name) ? firstOnGpu.indexOf(name) : firstOnGpu.length;
  return rank(a) - rank(b);
}

/** Those that make sense on a device. */
export function benchmarks(place: Place): readonly Benchmark[] {
  const ofNetworks = [...targetBenchmarks, ...trainingBenchmarks(place), ...samplingBenchmarks(place)];
  if (place.isGpu)
    return [...ofNetworks.toSorted(byImportance), ...deviceMemoryBenchmarks(place), ...limitBenchmarks(place)];
  return [
    ...limitBenchmarks(place),
    // Before this process and its peers have grown: the largest networks need all the memory of a machine.
    ...memoryBenchmarks(place),
    ...operatorBenchmarks,
    ...ofNetworks,
    ...decodingBenchmarks,
    ...commandBenchmarks,
  ];
}

/**
 * Those that were requested.
 *
 * @throws UsageError when there are none
 */
export function chosen(all: readonly Benchmark[], { full, only }: Pick<Flags, "full" | "only">): readonly Benchmark[] {
  if (only === undefined) return all.filter(({ isShort }) => full || isShort);
  const found = all.filter(({ name }) => name.includes(only));
  if (found.length === 0) throw new UsageError(`no row's name contains "${only}"; --list shows them all`);
  return found;
}

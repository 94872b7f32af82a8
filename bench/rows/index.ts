/** All benchmarks, in the order of the report. */

import { bfloat16Support } from "@stf/torch/installation";
import { type Precision, UsageError } from "stf";
import type { Benchmark } from "../benchmark.js";
import type { Flags } from "../flags.js";
import { commandBenchmarks } from "./command.js";
import { decodingBenchmarks } from "./decoding.js";
import { limitBenchmarks } from "./limits.js";
import { memoryBenchmarks } from "./memory.js";
import { operatorBenchmarks } from "./operators.js";
import { samplingBenchmarks } from "./sampling.js";
import { targetBenchmarks } from "./targets.js";
import { trainingBenchmarks } from "./training.js";

/** Those that make sense on this machine: where bfloat16 is emulated nobody would train in it. */
export function benchmarks(): readonly Benchmark[] {
  const precisions: readonly Precision[] = bfloat16Support() === "emulated" ? ["fp32"] : ["fp32", "bf16"];
  return [
    ...limitBenchmarks(precisions),
    // Before this process and its peers have grown: the largest networks take what a machine has.
    ...memoryBenchmarks(precisions),
    ...operatorBenchmarks,
    ...targetBenchmarks,
    ...trainingBenchmarks(precisions),
    ...samplingBenchmarks(precisions),
    ...decodingBenchmarks,
    ...commandBenchmarks,
  ];
}

/**
 * Those that were asked for.
 *
 * @throws UsageError when there are none
 */
export function chosen(all: readonly Benchmark[], { full, only }: Pick<Flags, "full" | "only">): readonly Benchmark[] {
  if (only === undefined) return all.filter(({ isShort }) => full || isShort);
  const found = all.filter(({ name }) => name.includes(only));
  if (found.length === 0) throw new UsageError(`no row's name contains "${only}"; --list shows them all`);
  return found;
}

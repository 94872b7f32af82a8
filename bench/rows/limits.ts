/** The machine's limits, as rows of their own. */

import type { Precision } from "stf";
import { type Benchmark, compare, gigaflops } from "../benchmark.js";
import { limitKinds } from "../limits.js";

/** Of the precisions that this processor computes with. */
export const limitBenchmarks = (precisions: readonly Precision[]): readonly Benchmark[] =>
  precisions.flatMap((precision) =>
    limitKinds.map((kind) => ({
      section: "The machine's limits",
      name: `${kind.what}, ${precision}`,
      isShort: true,
      run(bench) {
        const { flops, cost } = bench.limits.of(kind, precision);
        const budget = { ...bench.budget, seconds: 1 };
        return compare({ ...bench, budget }, { unit: gigaflops(flops), ours: cost });
      },
    })),
  );

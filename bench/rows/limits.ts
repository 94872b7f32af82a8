/** The machine's limits, as rows of their own. */

import { type Benchmark, compare, gigaflops } from "../benchmark.js";
import { limitKindsOn } from "../limits.js";
import type { Place } from "../place.js";

/** Of the precisions that this device computes with. */
export const limitBenchmarks = (place: Place): readonly Benchmark[] =>
  place.precisions.flatMap((precision) =>
    limitKindsOn(place, precision).map((kind) => ({
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

/** The machine's limits, as separate rows. */

import { type Benchmark, compare, gigaflops } from "../benchmark.js";
import { limitKindsOn } from "../limits.js";
import type { Place } from "../place.js";

/** In the precisions of this device. */
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

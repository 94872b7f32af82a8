/** The time of stable targets on this machine. */

import { noGrad, randn, scope, synchronize } from "@stf/torch";
import type { Bank } from "../../data/bank.js";
import { KeyedRandom, randomKey } from "../../random/keyed.js";
import type { ReferenceCount, TargetCost } from "../../run/variance-report.js";
import { targetFrom } from "../../targets/augmented.js";
import { drawReferences } from "../../targets/references.js";
import { stableFieldTarget } from "../../targets/stable-field.js";
import { checkStop, type JobContext } from "../context.js";

/** Images of a measured batch, as in a small training step. */
const BATCH = 32;
/** Seconds after which another measurement adds little. */
const ENOUGH = 0.5;

/** Milliseconds per image of the targets of each number of references, at a noise level where they differ from the source. */
export function targetCosts(
  bank: Bank,
  references: readonly ReferenceCount[],
  { sigma, sameClass, seed }: { readonly sigma: number; readonly sameClass: boolean; readonly seed: number },
  context: JobContext,
): TargetCost[] {
  const random = new KeyedRandom(randomKey(seed, "analysis"));
  const indices = random.permutation(bank.count).slice(0, BATCH);
  const { channels, height, width } = bank.shape;
  const shape = [indices.length, channels, height, width];
  const target = stableFieldTarget();
  return noGrad(() =>
    scope(() => {
      const batch = {
        indices,
        source: bank.toValues(bank.gather(indices)).view(shape),
        noise: randn(shape, { device: bank.device }),
        sigma: new Float64Array(indices.length).fill(sigma),
      };
      return references.map((count) => {
        const measure = (): number => {
          checkStop(context);
          const start = context.now();
          scope(() => {
            const rule = { references: count, sameClass };
            targetFrom(target, batch, drawReferences(bank, indices, rule, random));
          });
          synchronize(bank.device);
          return context.now() - start;
        };
        const times = [measure()];
        for (let spent = times[0] as number; spent < ENOUGH && times.length < 20; spent += times.at(-1) as number) {
          times.push(measure());
        }
        // Other programs delay some and speed up none.
        return { references: count, milliseconds: (1000 * Math.min(...times)) / indices.length };
      });
    }),
  );
}

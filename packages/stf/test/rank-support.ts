/** Several processes in one, for tests. */

import { cat, keep, scope, type Tensor } from "@stf/torch";
import type { RowRanks } from "../src/data/divided-bank.js";

class Pause extends Error {}

/**
 * What each of several processes returns. They run one after the other, again and again: each time, one more collective has its result,
 * and the next one only records what a process contributes. So what they do must be deterministic.
 */
export function together<T>(size: number, body: (ranks: RowRanks) => T): T[] {
  const results: ((own: Tensor) => Tensor | undefined)[] = [];
  for (;;) {
    const contributions: { kind: string; values: Tensor }[] = [];
    const ended: T[] = [];
    for (let rank = 0; rank < size; rank++) {
      let called = 0;
      const collective = (kind: string, values: Tensor): Tensor | undefined => {
        const result = results[called++];
        if (result) return result(values);
        contributions.push({ kind, values: keep(scope(() => values.clone())) });
        throw new Pause();
      };
      try {
        const result = body({
          rank,
          size,
          sum: (values) => void collective("sum", values),
          gatherRows: (rows) => collective("gatherRows", rows) as Tensor,
        });
        if (called < results.length) throw new Error(`process ${rank} left out a collective`);
        ended.push(result);
      } catch (error) {
        if (!(error instanceof Pause)) throw error;
      }
    }
    if (ended.length === size) return ended;
    const kinds = new Set(contributions.map(({ kind }) => kind));
    if (contributions.length < size || kinds.size > 1) throw new Error("the processes called different collectives");
    const values = contributions.map((each) => each.values);
    results.push(
      kinds.has("sum")
        ? (own) => {
            own.zero_();
            for (const each of values) own.add_(each);
            return undefined;
          }
        : () => cat(values),
    );
  }
}

/** A step that several processes share. */

import type { Tensor } from "@stf/torch";
import type { RowRanks } from "../data/divided-bank.js";

/**
 * The processes that share the steps of a training. Each computes the gradients of its part of a step's samples; the sums over
 * all of them are the gradients of the step, so that the weights do not depend on the number of processes, up to rounding.
 */
export interface StepRanks extends RowRanks {
  /** Announces the last backward pass of a step: what it completes may be summed while it goes on. */
  beginSums(): void;
  /**
   * Replaces the flat gradients by their sums over the processes, and `others` by theirs, which are small.
   *
   * @returns seconds that this process has waited since its backward pass
   */
  finishSums(others: readonly Tensor[]): number;
  /** Of each statement, whether any process makes it. */
  any(statements: readonly boolean[]): boolean[];
}

/** Ctrl-C in the middle of a batch, for commands that lose nothing by it. */

import { interruptCount } from "@stf/torch";

/** The exit code of a process that was interrupted. */
export const INTERRUPTED = 130;

/** Thrown out of a step, so that Ctrl-C need not wait for the batch. */
export class Interruption extends Error {}

/** @throws Interruption after Ctrl-C. */
export function stopIfInterrupted(): void {
  if (interruptCount() > 0) throw new Interruption();
}

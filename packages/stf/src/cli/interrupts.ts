/** Ctrl-C in the middle of a batch, for commands that lose nothing by it. */

import { interruptCount } from "@stf/torch";
import { LAUNCHER } from "../run/ranks.js";

/** The exit code of a process that was interrupted. */
export const INTERRUPTED = 130;

/** Thrown out of a step, so that Ctrl-C need not wait for the batch. */
export class Interruption extends Error {}

/** Whether `stf launch` started this process and has died since: nobody is left to stop it. */
function isOrphan(): boolean {
  const launcher = process.env[LAUNCHER];
  return launcher !== undefined && process.ppid !== Number(launcher);
}

/** @throws Interruption after Ctrl-C. */
export function stopIfInterrupted(): void {
  if (interruptCount() > 0 || isOrphan()) throw new Interruption();
}

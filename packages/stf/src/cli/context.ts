/** A command as the surroundings of a job: the terminal, Ctrl-C, and the processes that share the work. */

import { catchInterrupts, interrupt } from "@stf/torch";
import { LAUNCHER, rankOf } from "../common/ranks.js";
import { type JobContext, jobContext } from "../jobs/context.js";
import { withFlags } from "./flags.js";
import { StatusLine } from "./progress.js";

/** The exit code of a command that was interrupted. */
export const INTERRUPTED = 130;

/** Whether `stf launch` started this process and has died since: nobody is left to stop it. */
function isOrphan(): boolean {
  const launcher = process.env[LAUNCHER];
  return launcher !== undefined && process.ppid !== Number(launcher);
}

/**
 * From now on Ctrl-C asks the job to stop, and a second one ends the process.
 *
 * @param options.plainSeconds - where there is no terminal, one line of progress in so many seconds stays; else none does
 * @throws UsageError when the variables that number the processes make no sense
 */
export function commandContext({ plainSeconds }: { plainSeconds?: number } = {}): JobContext {
  const rank = rankOf();
  catchInterrupts(true);
  // Of several processes the first one speaks.
  const status = new StatusLine({ isQuiet: rank.rank > 0, ...(plainSeconds !== undefined && { plainSeconds }) });
  return jobContext({
    reporter: {
      print: (line) => status.print(withFlags(line)),
      printPlain: (line) => status.printPlain(withFlags(line)),
      update: (line) => status.update(line),
      clear: () => status.clear(),
    },
    shouldStop: () => interrupt() !== undefined || isOrphan(),
    rank,
  });
}

/** A command as the context of a job: the terminal, Ctrl-C, and the other processes that do part of the work. */

import { constants } from "node:os";
import { catchInterrupts, interrupt } from "@stf/torch";
import { rankOf } from "../common/ranks.js";
import { type JobContext, jobContext } from "../jobs/context.js";
import { withFlags } from "./flags.js";
import { wasToIgnoreHangups } from "./hangups.js";
import { StatusLine } from "./progress.js";

/** The exit code of a command that was interrupted: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP, 138 by SIGUSR1. */
export const interruptedCode = (): number => 128 + constants.signals[interrupt() ?? "SIGINT"];

/**
 * From now on Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 ask the job to stop; a second Ctrl-C or SIGTERM ends the process. Under nohup,
 * SIGHUP is ignored.
 *
 * @param options.plainSeconds - without a terminal, a progress line is kept every so many seconds; none when left out
 * @throws UsageError when the variables that number the processes are invalid
 */
export function commandContext({ plainSeconds }: { plainSeconds?: number } = {}): JobContext {
  const rank = rankOf();
  catchInterrupts(true, { hangups: !wasToIgnoreHangups() });
  // Of several processes, only the first prints.
  const status = new StatusLine({ isQuiet: rank.rank > 0, ...(plainSeconds !== undefined && { plainSeconds }) });
  return jobContext({
    reporter: {
      print: (line) => status.print(withFlags(line)),
      warn: (line) => status.warn(withFlags(line)),
      printPlain: (line) => status.printPlain(withFlags(line)),
      update: (line) => status.update(line),
      clear: () => status.clear(),
      wording: withFlags,
    },
    shouldStop: () => interrupt() !== undefined,
    rank,
  });
}

/** A command as the surroundings of a job: the terminal, Ctrl-C, and the processes that share the work. */

import { constants } from "node:os";
import { catchInterrupts, interrupt } from "@stf/torch";
import { LAUNCHER, rankOf } from "../common/ranks.js";
import { type JobContext, jobContext } from "../jobs/context.js";
import { withFlags } from "./flags.js";
import { wasToIgnoreHangups } from "./hangups.js";
import { StatusLine } from "./progress.js";

/** The exit code of a command that was interrupted: 130 by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP. */
export const interruptedCode = (): number => 128 + constants.signals[interrupt() ?? "SIGINT"];

/** Whether `stf launch` started this process and has died since: nobody is left to stop it. */
function isOrphan(): boolean {
  const launcher = process.env[LAUNCHER];
  return launcher !== undefined && process.ppid !== Number(launcher);
}

/**
 * From now on Ctrl-C, SIGTERM and SIGHUP ask the job to stop, and a second of the first two ends the process. Under nohup SIGHUP
 * does nothing.
 *
 * @param options.plainSeconds - where there is no terminal, one line of progress in so many seconds stays; else none does
 * @throws UsageError when the variables that number the processes make no sense
 */
export function commandContext({ plainSeconds }: { plainSeconds?: number } = {}): JobContext {
  const rank = rankOf();
  catchInterrupts(true, { hangups: !wasToIgnoreHangups() });
  // Of several processes the first one speaks.
  const status = new StatusLine({ isQuiet: rank.rank > 0, ...(plainSeconds !== undefined && { plainSeconds }) });
  return jobContext({
    reporter: {
      print: (line) => status.print(withFlags(line)),
      warn: (line) => status.warn(withFlags(line)),
      printPlain: (line) => status.printPlain(withFlags(line)),
      update: (line) => status.update(line),
      clear: () => status.clear(),
    },
    shouldStop: () => interrupt() !== undefined || isOrphan(),
    rank,
  });
}

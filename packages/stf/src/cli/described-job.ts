/** Commands whose job ends with a result to describe, and perhaps a problem, and that write nothing when they are stopped. */

import type { JobContext } from "../jobs/context.js";
import { beginWork } from "./output.js";

/**
 * Runs a job and prints what it did. Returns the exit code.
 *
 * @param describe - the lines to print
 */
export async function runDescribed<Result extends { readonly problem?: string | undefined }>(
  job: (context: JobContext) => Promise<Result>,
  describe: (result: Result) => readonly string[],
): Promise<number> {
  const { commandContext, interruptedCode } = await import("./context.js");
  const { Stopped } = await import("../jobs/context.js");
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  try {
    const result = await job(context);
    for (const line of describe(result)) context.reporter.print(line);
    if (result.problem === undefined) return 0;
    context.reporter.warn(result.problem);
    return 1;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    context.reporter.print("stopped; nothing was written");
    return interruptedCode();
  }
}

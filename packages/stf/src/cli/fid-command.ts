/** `stf fid` on the command line: the published tool's commands. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { checkAlone } from "../common/ranks.js";
import {
  type FidCalcRequest,
  type FidRefRequest,
  fidCalcFields,
  fidCalcOptions,
  fidRefFields,
  fidRefOptions,
} from "../config/fid-options.js";
import { parse } from "../config/fields.js";
import { processesWithFiles } from "./meeting.js";
import { describeEvaluation } from "./numbers.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

/** The exit code of a job that may be stopped. */
async function working(
  body: (context: import("../jobs/context.js").JobContext) => Promise<string | undefined>,
): Promise<number> {
  const [{ commandContext, interruptedCode }, { Stopped }] = await Promise.all([
    import("./context.js"),
    import("../jobs/context.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  try {
    const problem = await body(context);
    if (problem === undefined) return 0;
    context.reporter.warn(problem);
    return 1;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    context.reporter.print("stopped; nothing was computed");
    return interruptedCode();
  }
}

async function calculate(request: FidCalcRequest): Promise<number> {
  const { calculateFid } = await import("../jobs/fid.js");
  const { withParts } = await import("./team.js");
  return await working(async (context) => {
    const { evaluation, problem } = await withParts(context, (shared) => calculateFid(request, shared));
    if (evaluation) for (const line of describeEvaluation(evaluation)) context.reporter.print(line);
    return problem;
  });
}

async function reference(request: FidRefRequest): Promise<number> {
  const { referenceStatistics } = await import("../jobs/fid.js");
  return await working(async (context) => {
    const { count, dimension, problem } = await referenceStatistics(request, context);
    context.reporter.print(`wrote mean and covariance of ${dimension} features of ${count} images to ${request.dest}`);
    return problem;
  });
}

/** Sets the command's sub-commands. */
export function declare(command: Command): void {
  addFields(
    command.command("calc").description("Fréchet distance of images to reference statistics"),
    fidCalcFields,
  ).action(async (texts) => {
    const request = parse(fidCalcFields, texts);
    fidCalcOptions(request, processesWithFiles());
    process.exitCode = await calculate(request);
  });
  addFields(command.command("ref").description("reference statistics of a data set"), fidRefFields).action(
    async (texts) => {
      const request = parse(fidRefFields, texts);
      checkAlone("fid ref");
      fidRefOptions(request);
      process.exitCode = await reference(request);
    },
  );
}

/** `stf analyze` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { checkAlone } from "../common/ranks.js";
import { formatDuration } from "../common/text.js";
import { analyzeFields } from "../config/analyze-options.js";
import { type AnalyzeRequest, analyzeOptions } from "../config/analyze-request.js";
import { parse } from "../config/fields.js";
import { describeVariance } from "./analyze-report.js";
import { addFields, type Groups } from "./options.js";
import { beginWork } from "./output.js";

const groups: Groups<typeof analyzeFields> = {
  "What to analyse:": ["data", "cond", "xflip", "cache", "mixture", "dimension", "deviation"],
  "Networks:": ["network", "networkNum", "heldOut"],
  "Noise levels and references:": ["precond", "levels", "sigmaMin", "sigmaMax", "references", "fraction", "checkBias"],
  "Precision and output:": ["num", "seed", "device", "outdir"],
};

/** Runs the command. Returns the exit code. */
async function run(request: AnalyzeRequest): Promise<number> {
  const [{ commandContext, interruptedCode }, { analyze }, { Stopped }] = await Promise.all([
    import("./context.js"),
    import("../jobs/analyze.js"),
    import("../jobs/context.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter } = context;
  try {
    const { report, json, page, plot, problem } = await analyze(request, context);
    reporter.clear();
    for (const line of describeVariance(report)) reporter.print(line);
    reporter.print(`wrote ${page}, ${json} and ${plot} in ${formatDuration(report.seconds)}`);
    if (problem === undefined) return 0;
    reporter.warn(problem);
    return 1;
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    reporter.clear();
    reporter.print("stopped; nothing was written");
    return interruptedCode();
  }
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  addFields(command, analyzeFields, groups).action(async (texts) => {
    const request = parse(analyzeFields, texts);
    checkAlone("analyze");
    analyzeOptions(request);
    process.exitCode = await run(request);
  });
}

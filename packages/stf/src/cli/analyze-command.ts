/** `stf analyze` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
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
  const [{ commandContext, interruptedCode }, { analyze }, { unlessStopped, withParts }] = await Promise.all([
    import("./context.js"),
    import("../jobs/analyze.js"),
    import("./team.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter, rank } = context;
  const result = await unlessStopped(withParts(context, (shared) => analyze(request, shared)));
  reporter.clear();
  if (!result) {
    reporter.print("stopped; nothing was written");
    return interruptedCode();
  }
  const { report, json, page, plot, problem } = result;
  for (const line of describeVariance(report)) reporter.print(line);
  reporter.print(`wrote ${page}, ${json} and ${plot} in ${formatDuration(report.seconds)}`);
  // The first process speaks for all.
  if (problem === undefined || rank.rank > 0) return 0;
  reporter.warn(problem);
  return 1;
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  addFields(command, analyzeFields, groups).action(async (texts) => {
    const request = parse(analyzeFields, texts);
    analyzeOptions(request);
    process.exitCode = await run(request);
  });
}

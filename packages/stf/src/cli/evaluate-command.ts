/** `stf evaluate` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { UsageError } from "../common/errors.js";
import { checkAlone } from "../common/ranks.js";
import { evaluateFields } from "../config/evaluate-options.js";
import { type EvaluateRequest, evaluateOptions } from "../config/evaluate-request.js";
import { parse } from "../config/fields.js";
import { comparableMetrics, readEvaluations } from "../jobs/compare-evaluations.js";
import type { EvaluateResult } from "../jobs/evaluate.js";
import { processesWithFiles } from "./meeting.js";
import { describeEvaluation, describeTable } from "./numbers.js";
import { addFields, type Groups } from "./options.js";
import { beginWork } from "./output.js";

const groups: Groups<typeof evaluateFields> = {
  "What to evaluate:": ["network", "images", "num", "seed"],
  "Against what, and how:": ["ref", "refNum", "features", "metrics", "dest", "pairs"],
};

/** Runs the command. Returns the exit code. */
async function run(request: EvaluateRequest): Promise<number> {
  const [{ commandContext, interruptedCode }, { evaluate }, { withParts, unlessStopped }] = await Promise.all([
    import("./context.js"),
    import("../jobs/evaluate.js"),
    import("./team.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter } = context;
  const none: EvaluateResult = { reason: "stopped", evaluations: [] };
  const found = await unlessStopped(withParts(context, (shared) => evaluate(request, shared)));
  const { reason, evaluations, problem } = found ?? none;
  reporter.clear();
  for (const evaluation of evaluations) for (const line of describeEvaluation(evaluation)) reporter.print(line);
  if (reason === "stopped") {
    reporter.print(`stopped after ${evaluations.length} ${evaluations.length === 1 ? "evaluation" : "evaluations"}`);
  }
  const written = evaluations.length > 0 && problem === undefined ? [request.dest, request.pairs] : [];
  for (const path of written) if (path) reporter.print(`wrote ${path}`);
  if (problem !== undefined) {
    reporter.warn(problem);
    return 1;
  }
  return reason === "stopped" ? interruptedCode() : 0;
}

/** Prints the numbers of files beside each other. */
function compare(files: readonly string[]): void {
  const all = files.flatMap(readEvaluations);
  if (all.length < 2) throw new UsageError("--compare must name files with at least 2 evaluations, found 1");
  const names = comparableMetrics(all);
  for (const line of describeTable(
    all.map(({ evaluation }) => evaluation),
    names,
  ))
    console.log(line);
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  addFields(command, evaluateFields, groups)
    .option("--compare <FILES...>", "show the numbers of JSON files beside each other, if they were obtained alike")
    .action(async ({ compare: files, ...texts }: { compare?: string[] } & Record<string, string | true>) => {
      if (files) {
        checkAlone("evaluate --compare");
        const other = Object.keys(texts)[0];
        if (other !== undefined) throw new UsageError(`--compare only reads files; leave out '${other}'`);
        compare(files);
        return;
      }
      const request = parse(evaluateFields, texts);
      evaluateOptions(request, processesWithFiles());
      process.exitCode = await run(request);
    });
}

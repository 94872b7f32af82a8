/** `stf generate` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { checkAlone } from "../common/ranks.js";
import { formatDuration } from "../common/text.js";
import { parse } from "../config/fields.js";
import { generateFields } from "../config/generate-options.js";
import { type GenerateRequest, generateOptions } from "../config/generate-request.js";
import type { GenerateResult } from "../jobs/generate.js";
import { processesWithFiles } from "./meeting.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

const formatted = (count: number): string => (Number.isInteger(count) ? String(count) : count.toFixed(1));

/** "23 network evaluations and 12 analytic ones" */
function describeEvaluations(evaluations: number, analytic = 0): string {
  return `${formatted(evaluations)} network evaluations${analytic > 0 ? ` and ${formatted(analytic)} analytic ones` : ""}`;
}

/**
 * "35 network evaluations each, 12.3 images/s"
 *
 * @param processes - that drew; the numbers are those of the first
 */
function summary({ drawn, evaluations, analyticEvaluations, seconds }: GenerateResult, processes: number): string {
  if (evaluations === undefined) return "all were there already";
  const each = describeEvaluations(evaluations, analyticEvaluations);
  return `${each} each, ${(drawn / seconds).toFixed(2)} images/s${processes > 1 ? ` in the first of ${processes} processes` : ""}, ${formatDuration(seconds)}`;
}

/** Prints what would be drawn, and how long that takes. */
async function dryRun(request: GenerateRequest): Promise<void> {
  const { commandContext } = await import("./context.js");
  const { estimateDrawing } = await import("../jobs/drawing-estimate.js");
  const context = commandContext();
  const estimate = await estimateDrawing(request, context);
  const { description, images, evaluations, analyticEvaluations, secondsPerEvaluation, seconds } = estimate;
  const time = Number.isNaN(evaluations)
    ? `about ${secondsPerEvaluation.toPrecision(2)}s here for each image and network evaluation; the sampler chooses how many`
    : `about ${Number((images / seconds).toPrecision(2))} images/s here: ${formatDuration(seconds)} for ${images} images, ${describeEvaluations(evaluations, analyticEvaluations)} each`;
  for (const line of [...description, `time: ${time}`]) context.reporter.print(line);
}

/** Runs the command. Returns the exit code. */
async function run(request: GenerateRequest): Promise<number> {
  // One after the other, because Node opens the files of all modules that it loads in parallel.
  const { commandContext, interruptedCode } = await import("./context.js");
  const { generate } = await import("../jobs/generate.js");
  const { unlessStopped, withParts } = await import("./team.js");
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter, rank } = context;
  const result = await unlessStopped(withParts(context, (shared) => generate(request, shared)));
  const { outdir = null, grid = null, trajectory = null } = request;
  if (!result || result.reason === "stopped") {
    reporter.print(outdir === null ? "stopped" : `stopped; the same command draws the rest into ${outdir}`);
    return interruptedCode();
  }
  if (result.problem !== undefined) {
    reporter.warn(result.problem);
    return 1;
  }
  const outputs = [outdir, grid, trajectory].filter((path) => path !== null).join(" and ");
  if (rank.rank === 0) reporter.print(`images in ${outputs}; ${summary(result, rank.size)}`);
  return 0;
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  command.option("-n, --dry-run", "show what would be drawn and how long it takes, and stop");
  addFields(command, generateFields).action(async ({ dryRun: isDry = false, ...texts }) => {
    const request = parse(generateFields, texts);
    if (isDry) checkAlone("generate --dry-run");
    generateOptions(request, processesWithFiles());
    if (isDry) await dryRun(request);
    else process.exitCode = await run(request);
  });
}

/** `stf likelihood` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { formatDuration, formatLevel } from "../common/text.js";
import { parse } from "../config/fields.js";
import { likelihoodFields } from "../config/likelihood-options.js";
import { type LikelihoodRequest, likelihoodOptions } from "../config/likelihood-request.js";
import type { LikelihoodResult } from "../jobs/likelihood.js";
import { addFields } from "./options.js";
import { beginWork } from "./output.js";

/** The result, line by line. */
function described(result: LikelihoodResult): string[] {
  const { bitsPerDimension, errors, perImage, evaluations, analyticEvaluations, seconds, protocol } = result;
  const shown = Object.entries(errors).map(([over, error]) => `+- ${(error as number).toFixed(4)} over ${over}`);
  const {
    probes,
    process: path,
    sigmaMin,
    sigmaMax,
    rtol,
    atol,
    seed,
    analyticAbove: above,
  } = { ...protocol.method["flow"], ...protocol.method["estimate"] };
  const known =
    above === undefined
      ? ""
      : ` and ${Math.round(analyticEvaluations)} analytic ones above noise level ${formatLevel(above as number)}`;
  const levels = `${formatLevel(sigmaMin as number)} to ${formatLevel(sigmaMax as number)}`;
  return [
    [`${bitsPerDimension.toFixed(4)} bits/dim`, shown.join(", ")].join(" ").trim(),
    `for ${perImage.length} images with ${probes} probe${probes === 1 ? "" : "s"} each; ${path}, noise levels ${levels}, ` +
      `rtol ${rtol}, atol ${atol}, seed ${seed}; ${Math.round(evaluations)} network evaluations${known}, ${formatDuration(seconds)}`,
  ];
}

/** Runs the command. Returns the exit code. */
async function run(request: LikelihoodRequest): Promise<number> {
  const [{ commandContext, interruptedCode }, { likelihood }, { unlessStopped, withParts }] = await Promise.all([
    import("./context.js"),
    import("../jobs/likelihood.js"),
    import("./team.js"),
  ]);
  beginWork();
  const context = commandContext({ plainSeconds: 60 });
  const { reporter } = context;
  const result = await unlessStopped(withParts(context, (shared) => likelihood(request, shared)));
  if (!result) {
    reporter.print("stopped before the first image");
    return interruptedCode();
  }
  const isStopped = result.reason === "stopped";
  if (isStopped) reporter.print(`stopped after ${result.perImage.length} of ${result.asked} images`);
  if (result.perImage.length > 0) for (const line of described(result)) reporter.print(line);
  if (result.problem !== undefined) {
    reporter.warn(result.problem);
    return 1;
  }
  return isStopped ? interruptedCode() : 0;
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  addFields(command, likelihoodFields).action(async (texts) => {
    const request = parse(likelihoodFields, texts);
    likelihoodOptions(request);
    process.exitCode = await run(request);
  });
}

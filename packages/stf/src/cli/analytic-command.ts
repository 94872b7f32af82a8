/** `stf analytic` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { checkAlone } from "../common/ranks.js";
import { formatLevel } from "../common/text.js";
import { analyticFields } from "../config/analytic-options.js";
import { type AnalyticRequest, analyticOptions } from "../config/analytic-request.js";
import { parse } from "../config/fields.js";
import type { AnalyticResult } from "../jobs/analytic.js";
import { runDescribed } from "./described-job.js";
import { addFields } from "./options.js";

/** The result, line by line. */
function described({ handOver: { levels }, description, dest }: AnalyticResult): string[] {
  const images = Math.max(...levels.map((level) => level.images));
  return [
    `mean squared errors per value, on up to ${images} images that the Gaussians were not fitted to:`,
    "noise level   error of the network   of the analytic denoiser   difference",
    ...levels.map(({ sigma, network, analytic, advantage: { value, error = 0 } }) =>
      [
        formatLevel(sigma).padStart(11),
        network.value.toFixed(4).padStart(22),
        analytic.value.toFixed(4).padStart(26),
        `${value.toFixed(4).padStart(12)} +- ${error.toFixed(4)}`,
      ].join(" "),
    ),
    description,
    `wrote ${dest}; draw with: npx stf generate --network=${dest} --grid=grid.png`,
  ];
}

/** Runs the command. Returns the exit code. */
async function run(request: AnalyticRequest): Promise<number> {
  const { attachAnalytic } = await import("../jobs/analytic.js");
  return await runDescribed((context) => attachAnalytic(request, context), described);
}

/** Sets the command's options and action. */
export function declare(command: Command): void {
  addFields(command, analyticFields).action(async (texts) => {
    const request = parse(analyticFields, texts);
    checkAlone("analytic");
    analyticOptions(request);
    process.exitCode = await run(request);
  });
}

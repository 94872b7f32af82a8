/** `stf ema` on the command line. Errors in options are reported without loading libtorch. */

import type { Command } from "commander";
import { checkAlone } from "../common/ranks.js";
import { abbreviated } from "../common/text.js";
import { emaFields } from "../config/ema-options.js";
import { type EmaRequest, emaOptions } from "../config/ema-request.js";
import { parse } from "../config/fields.js";
import type { EmaResult } from "../jobs/ema.js";
import { runDescribed } from "./described-job.js";
import { addFields } from "./options.js";

/** A residual above this is worth a note. */
const LARGE = 0.1;

/** Below this it is rounding: the width is one of those kept. */
const ROUNDING = 1e-12;

const formatResidual = (residual: number): string => (residual < ROUNDING ? "0" : residual.toPrecision(2));

/** The result, line by line. */
function described({ networks, images, times, lacksAnalytic }: EmaResult): string[] {
  const isRough = networks.some(({ residual }) => residual > LARGE);
  return [
    `averages after ${images} training images, from those stored at ${times.length} times: ${abbreviated(times.map(String))}`,
    "width   difference from the exact profile   written",
    ...networks.map(({ width, residual, dest }) =>
      [String(width).padEnd(7), formatResidual(residual).padEnd(33), dest].join(" "),
    ),
    ...(isRough
      ? ["note: where the difference is large, more stored averages (--snap) or widths nearer to those kept help"]
      : []),
    ...(lacksAnalytic
      ? [
          "note: the Gaussians in the run's snapshots are left out, as they were compared with another average; npx stf analytic adds some",
        ]
      : []),
    `draw with: npx stf generate --network=${networks[0]?.dest} --grid=grid.png`,
  ];
}

/** Runs the command. Returns the exit code. */
async function run(request: EmaRequest): Promise<number> {
  const { reconstructAverages } = await import("../jobs/ema.js");
  return await runDescribed((context) => reconstructAverages(request, context), described);
}

/** Sets the command's argument, options and action. */
export function declare(command: Command): void {
  command.argument(
    "<PATH...>",
    "a run folder of stf train --average=power, or files of averages (averages-*.safetensors) of one run",
  );
  addFields(command, emaFields).action(async (from: string[], texts) => {
    const request: EmaRequest = { ...parse(emaFields, texts), from };
    checkAlone("ema");
    emaOptions(request);
    process.exitCode = await run(request);
  });
}

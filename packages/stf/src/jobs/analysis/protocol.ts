/** How an analysis was done. */

import type { AnalysisLevel } from "../../analysis/levels.js";
import { digestOf } from "../../common/file-digest.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import { digestOfImages } from "../../data/image-digest.js";
import type { Preconditioning } from "../../preconditioning/preconditioning.js";
import type { Protocol } from "../../run/protocol.js";
import type { AnalysedNetwork } from "./networks.js";
import type { OpenedTruth } from "./truth.js";

/** The protocol of an analysis. */
export async function analysisProtocol(
  opened: OpenedTruth,
  { data, mixture, cond, xflip, num, networkNum, heldOut, seed, references }: ResolvedAnalyze,
  networks: readonly AnalysedNetwork[],
  { preconditioning, levels }: { readonly preconditioning: Preconditioning; readonly levels: readonly AnalysisLevel[] },
): Promise<Protocol> {
  const digests: string[] = [];
  for (const { file } of networks) digests.push(await digestOf(file));
  const { name, constants } = preconditioning;
  return {
    subject:
      networks.length > 0
        ? { data, networks: networks.map(({ file }) => file), networks_sha256: digests }
        : { data: data ?? mixture },
    method: {
      data:
        opened.kind === "images"
          ? { sha256: digestOfImages(opened.bank), count: opened.bank.count, cond, xflip }
          : { mixture: opened.truth.name, dimension: opened.truth.dimension },
      levels: {
        precond: name,
        ...constants,
        count: levels.length,
        sigmaMin: levels[0]?.sigma ?? null,
        sigmaMax: levels.at(-1)?.sigma ?? null,
      },
      estimate: { samples: num, references, seed },
      ...(networks.length > 0 && { networks: { samples: networkNum, heldOut } }),
    },
  };
}

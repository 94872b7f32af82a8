/** Pictures for the page of an analysis. */

import type { AnalysisLevel } from "../../analysis/levels.js";
import { posteriorViews } from "../../analysis/posterior-pictures.js";
import { encodePng } from "../../codecs/png.js";
import type { PosteriorExample, ReferenceCount } from "../../run/variance-report.js";
import type { AnalysedNetwork } from "./networks.js";
import type { OpenedTruth } from "./truth.js";

/** Source images on the page. */
const EXAMPLES = 3;
/** Noise levels of each: as many as a reader steps through, so that the page stays small. */
const MOST_LEVELS = 24;
/** Possible sources shown. */
const NEAREST = 6;
/** Larger images would make the page too large. */
const MOST_VALUES = 3 * 64 * 64;

/** Levels that are spread evenly over those of the analysis, the lowest and the highest among them. */
function spread(levels: readonly AnalysisLevel[]): Float64Array {
  const count = Math.min(MOST_LEVELS, levels.length);
  const at = (i: number): number => (count > 1 ? Math.round((i * (levels.length - 1)) / (count - 1)) : 0);
  return Float64Array.from({ length: count }, (_, i) => (levels[at(i)] as AnalysisLevel).sigma);
}

/** The first samples of an analysis, as pictures; none for mixtures and for images that are too large or have no colours. */
export function examplesOf(
  opened: OpenedTruth,
  levels: readonly AnalysisLevel[],
  networks: readonly AnalysedNetwork[],
  references: readonly ReferenceCount[],
): PosteriorExample[] {
  if (opened.kind !== "images") return [];
  const { bank, truth } = opened;
  const { shape } = bank;
  if (bank.dimension > MOST_VALUES || ![1, 3].includes(shape.channels)) return [];
  const url = (planes: Uint8Array): string =>
    `data:image/png;base64,${Buffer.from(encodePng(planes, shape)).toString("base64")}`;
  return Array.from({ length: Math.min(EXAMPLES, bank.count) }, (_, sample) => {
    const views = posteriorViews(truth, sample, {
      sigma: spread(levels),
      references,
      denoisers: networks.map(({ denoiser }) => denoiser),
      nearest: NEAREST,
    });
    return {
      source: url(views[0]?.targets[0] as Uint8Array),
      levels: views.map(({ sigma, noisy, targets, nearest, networks: outputs }) => ({
        sigma,
        noisy: url(noisy),
        targets: targets.map(url),
        nearest: nearest.map(({ image, ...other }) => ({ ...other, image: url(image) })),
        networks: outputs.map(url),
      })),
    };
  });
}

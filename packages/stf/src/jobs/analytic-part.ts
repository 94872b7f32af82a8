/** What takes over from a network at high noise, as options ask for it. */

import { PosteriorDenoiser } from "../analytic/posterior-denoiser.js";
import type { Snapshot } from "../checkpoints/network-file.js";
import type { StoredAnalytic } from "../checkpoints/stored-analytic.js";
import { InputError, UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import { formatLevel } from "../common/text.js";
import type { GenerateCommandOptions } from "../config/generate-options.js";
import { movedTo } from "../data/image-bank.js";
import { digestOfImages } from "../data/image-digest.js";
import { openDataset } from "../data/open.js";
import type { AnalyticPart } from "../sampling/hand-over.js";
import { classNamesOf } from "./network-classes.js";

/** An analytic part with what is reported about it. */
export interface OpenedAnalytic {
  readonly part: AnalyticPart;
  /** "a mixture of 10 Gaussians" */
  readonly title: string;
  /** The digest of the images over which it is the posterior mean; undefined for another one. */
  readonly imagesDigest?: string;
  /** Frees what the snapshot does not own. */
  dispose(): void;
}

/** The options that decide about it. */
export type AnalyticOptions = Pick<GenerateCommandOptions, "analyticAbove">;

/** "a mixture of 10 Gaussians" */
export function titleOf(denoiser: StoredAnalytic["denoiser"]): string {
  const counted = (count: number): string => (count === 1 ? "a Gaussian" : `a mixture of ${count} Gaussians`);
  if (!("whole" in denoiser)) return counted(denoiser.components);
  const whole = counted(denoiser.whole.components);
  return denoiser.classes.size > 0 ? `${whole} (or that of the class)` : whole;
}

/** The analytic denoiser of a snapshot, where it is to be used; undefined where it is not. */
export function storedPart(
  { analytic }: Snapshot,
  { analyticAbove }: AnalyticOptions,
  path: string,
): OpenedAnalytic | undefined {
  if (analyticAbove === "off") return undefined;
  if (!analytic) {
    if (analyticAbove === "auto") return undefined;
    throw new UsageError(
      `'analyticAbove' needs an analytic denoiser, and ${path} has none: fit one to the images with "stf analytic"`,
    );
  }
  const { denoiser, handOver } = analytic;
  const above = analyticAbove === "auto" ? handOver.above : analyticAbove;
  if (above === null) return undefined;
  if (above < denoiser.sigmaFloor) {
    throw new UsageError(
      `'analyticAbove' must be at least ${formatLevel(denoiser.sigmaFloor)}, the noise level for which the analytic denoiser was fitted, found ${above}`,
    );
  }
  return { part: { denoiser, above }, title: titleOf(denoiser), dispose() {} };
}

/** The exact posterior mean over images, where the options or the snapshot say. */
async function exactPart(
  path: string,
  snapshot: Snapshot,
  { analyticAbove }: AnalyticOptions,
): Promise<OpenedAnalytic> {
  const { denoiser, config, analytic } = snapshot;
  const above = analyticAbove === "auto" ? analytic?.handOver.above : analyticAbove;
  if (typeof above !== "number") {
    throw new UsageError(
      "'analyticData' needs an 'analyticAbove', such as 'analyticAbove=3': the snapshot does not say where to replace the network",
    );
  }
  const sameClass = denoiser.labelDim > 0;
  const images = await openDataset(path, { labels: sameClass, numbering: classNamesOf(snapshot) ?? "text" });
  const bank = movedTo(images, denoiser.device);
  try {
    const [found, wanted] = [formatImageShape(bank.shape), formatImageShape(config.shape)];
    if (found !== wanted)
      throw new InputError(`'analyticData' must hold images of ${wanted} like the network's, found ${found}`);
    if (sameClass && !bank.labels) {
      throw new InputError(
        `'analyticData' must hold images with class labels, which the network needs, and ${path} has none`,
      );
    }
    return {
      part: { denoiser: new PosteriorDenoiser(bank, { sameClass }), above },
      title: `the exact posterior mean over ${bank.count} images`,
      imagesDigest: digestOfImages(bank),
      dispose: () => bank.dispose(),
    };
  } catch (error) {
    bank.dispose();
    throw error;
  }
}

/**
 * What a request replaces a network by at high noise; undefined for nothing.
 *
 * @throws UsageError when it asks for what there is not; InputError for images that cannot be used
 */
export async function openAnalytic(
  options: AnalyticOptions & Pick<GenerateCommandOptions, "analyticData">,
  snapshot: Snapshot,
  path: string,
): Promise<OpenedAnalytic | undefined> {
  const { analyticData } = options;
  return analyticData === null ? storedPart(snapshot, options, path) : await exactPart(analyticData, snapshot, options);
}

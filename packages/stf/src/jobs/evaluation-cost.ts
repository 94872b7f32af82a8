/** What an evaluation will cost, measured on a few images before it begins. */

import { noGrad, randint, scope } from "@stf/torch";
import type { ImageShape } from "../common/image-shape.js";
import { formatDuration } from "../common/text.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import type { JobContext } from "./context.js";
import type { ImageSource } from "./image-source.js";
import { secondsOf } from "./trial.js";

/** Images of a trial: enough for the rate of a batch. */
const TRIAL = 16;

/** Seconds per image of a feature network. @throws InputError when it cannot describe such images */
export function extractionSeconds(network: FeatureNetwork, shape: ImageShape, now: () => number): number {
  return scope(() => {
    const { channels, height, width } = shape;
    const { device } = network;
    const images = randint(0, 256, [TRIAL, channels, height, width], { device }).to({ dtype: "uint8" });
    // Reading a value waits for a GPU.
    const run = (): void => scope(() => void noGrad(() => network.extract(images).features.sum().item()));
    return secondsOf(run, now) / TRIAL;
  });
}

/** "about 3m 20s" */
export const about = (seconds: number): string =>
  seconds < 1 ? "less than a second" : `about ${formatDuration(seconds)}`;

/** The work of an evaluation. */
export interface Work {
  /** The first of the sets, which stands for all. */
  readonly first: ImageSource;
  /** Number of sets. */
  readonly sets: number;
  /** Images of the reference whose features are computed. */
  readonly reference: number;
  readonly network: FeatureNetwork | undefined;
}

/**
 * The cost, in one line: images, and seconds measured on a few of them.
 *
 * @throws InputError when the feature network cannot describe such images
 */
export function describeCost({ first, sets, reference, network }: Work, { now, rank }: JobContext): string {
  const { count, evaluations } = first;
  const each = evaluations === 0 ? 0 : first.secondsPerEvaluation(TRIAL, now);
  const drawing = (sets * count * each * evaluations) / rank.size;
  const described = sets * count + reference;
  const extracting = network ? (described * extractionSeconds(network, first.shape, now)) / rank.size : 0;
  const parts = [
    evaluations !== 0 &&
      `drawing ${sets === 1 ? "" : `${sets} x `}${count} images takes ${
        Number.isFinite(drawing) ? about(drawing) : "as long as the sampler needs"
      }`,
    network && `features of ${described} images ${about(extracting)}`,
    !network && `comparing ${sets * count} images with ${reference}`,
  ];
  return parts.filter(Boolean).join(", ");
}

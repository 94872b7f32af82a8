/** The rule for the channels of U-Nets: their normalisations divide them into groups. */

import { UsageError } from "../common/errors.js";
import type { NetworkSize } from "./architectures.js";

/** Numbers of channels at full resolution are multiples of this. */
const STEP = 4;

/** At most 32 groups of at least 4 channels. */
export function groupsFor(channels: number): number {
  return Math.min(32, Math.floor(channels / 4));
}

type Widths = Pick<NetworkSize, "modelChannels" | "channelMult" | "numBlocks">;

/** The numbers of channels that a U-Net normalises: those of its blocks, and of these together with what skips to them. */
function normalizedChannels({ modelChannels, channelMult, numBlocks }: Widths, stem: number): ReadonlySet<number> {
  const widths = channelMult.map((multiple) => modelChannels * multiple);
  const found = new Set<number>();
  const skips = [stem];
  let channels = stem;
  widths.forEach((width, level) => {
    if (level > 0) skips.push(channels);
    for (let i = 0; i < numBlocks; i++) {
      found.add(channels).add(width);
      channels = width;
      skips.push(channels);
    }
  });
  for (const width of widths.reverse()) {
    for (let i = 0; i <= numBlocks; i++) {
      found.add(channels).add(channels + (skips.pop() ?? 0));
      channels = width;
    }
  }
  return found.add(channels);
}

/** @returns the least number of channels that cannot be divided; undefined if all can */
function undividedIn(widths: Widths, startsWide: boolean): number | undefined {
  const stem = widths.modelChannels * (startsWide ? (widths.channelMult[0] ?? 1) : 1);
  return [...normalizedChannels(widths, stem)].sort((a, b) => a - b).find((own) => own % groupsFor(own) !== 0);
}

/**
 * @param startsWide - whether the first layer has the channels of the first resolution, as that of adm, or those that these are multiples of
 * @throws UsageError when the channels of a U-Net cannot be divided into groups
 */
export function checkChannels(widths: Widths, startsWide: boolean): void {
  const { modelChannels, channelMult } = widths;
  if (modelChannels % STEP !== 0) {
    throw new UsageError(`'cbase' must be a multiple of ${STEP}, found ${modelChannels}`);
  }
  const undivided = undividedIn(widths, startsWide);
  if (undivided === undefined) return;
  const isPossible = (own: number): boolean => undividedIn({ ...widths, modelChannels: own }, startsWide) === undefined;
  // Multiples of 32 are possible with all multipliers.
  let [below, above] = [modelChannels - STEP, modelChannels + STEP];
  while (below > 0 && !isPossible(below)) below -= STEP;
  while (!isPossible(above)) above += STEP;
  const nearest = below > 0 ? `nearest are ${below} and ${above}` : `the smallest is ${above}`;
  throw new UsageError(
    `'cbase' must divide all layers into groups of channels: ${modelChannels} with 'cres=${channelMult.join(",")}' makes layers of ${undivided}, which cannot be divided into ${groupsFor(undivided)}; ${nearest}, and any multiple of 32 will do`,
  );
}

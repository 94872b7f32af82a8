/** What images are drawn with: from a request to networks and a sampling method that fit together. */

import { loadSnapshot, type Snapshot } from "../checkpoints/network-file.js";
import { UsageError } from "../common/errors.js";
import { formatImageShape } from "../common/image-shape.js";
import type { Rank } from "../common/ranks.js";
import { formatLevel } from "../common/text.js";
import { samplerOf } from "../config/generate-options.js";
import type { ResolvedGenerate } from "../config/generate-request.js";
import { samplingMethod } from "../config/sampling.js";
import { isDiverged } from "../run/history.js";
import { type GenerateOptions, type Method, rangeWithin } from "../sampling/generate.js";
import { SMOOTH_BLEND } from "../sampling/hand-over.js";
import { type OpenedAnalytic, openAnalytic } from "./analytic-part.js";
import { checkDevice, deviceOf } from "./device.js";
import { givenImage } from "./given-image.js";
import { classNamesOf, classNumber, classTitle } from "./network-classes.js";
import { latestSnapshot } from "./snapshots.js";

/**
 * A request with its class as a number, with the digest of the images of its analytic part instead of their path, and without
 * 'analyticAbove=off' where there would be no such part anyway.
 */
export type NumberedGenerate = ResolvedGenerate & { readonly class: number | null };

/** A request with everything that it names. */
export interface Drawing {
  readonly request: NumberedGenerate;
  readonly snapshot: Snapshot;
  readonly conditions: GenerateOptions & { readonly method: Method };
  /** What replaces the network at high noise; undefined for nothing. */
  readonly analytic: OpenedAnalytic | undefined;
  /** Notes to print before the first image. */
  readonly notes: readonly string[];
  /** Frees the networks. */
  dispose(): void;
}

/** @throws UsageError for a network that draws grey images. */
function checkColorize({ colorize }: ResolvedGenerate, { shape }: Snapshot["config"]): void {
  if (colorize && shape.channels === 1) throw new UsageError("'colorize' needs a network that draws in colour");
}

/** @throws UsageError when there is no network to guide away from. */
function checkGuidance(
  { guidance, gnet }: ResolvedGenerate,
  { denoiser, about }: Snapshot,
  weak: Snapshot | undefined,
): void {
  if (guidance === 1) return;
  if (gnet === null && denoiser.labelDim === 0) {
    throw new UsageError(
      "'guidance' needs a class-conditional network, trained with 'cond' and 'labelDropout', or a second network in 'gnet'",
    );
  }
  if (gnet === null && about["labelDropout"] === 0) {
    throw new UsageError(
      "'guidance' needs a network that can also draw without a class; this one was trained with 'labelDropout=0': train one with 0.1, or name a second network in 'gnet'",
    );
  }
  if (weak && weak.denoiser.labelDim !== 0 && weak.denoiser.labelDim !== denoiser.labelDim) {
    throw new UsageError(
      `'gnet' must have as many classes as 'network' or none, found ${weak.denoiser.labelDim} and ${denoiser.labelDim}`,
    );
  }
}

/** Loads the second network. @throws UsageError when its images have another shape. */
function loadWeak({ gnet, precision }: ResolvedGenerate, { denoiser, config }: Snapshot): Snapshot | undefined {
  if (gnet === null) return undefined;
  const weak = loadSnapshot(gnet, { precision, device: denoiser.device });
  const [found, wanted] = [formatImageShape(weak.config.shape), formatImageShape(config.shape)];
  if (found === wanted) return weak;
  weak.dispose();
  throw new UsageError(`'gnet' must draw images of ${wanted} as 'network' does, found ${found}`);
}

/** A note on a network that was saved while its training diverged. */
function lossNotes({ about }: Snapshot): string[] {
  const { loss, lowestLoss } = about;
  if (typeof loss !== "number" || typeof lowestLoss !== "number" || !isDiverged(loss, lowestLoss)) return [];
  return [
    `the network was saved while its training diverged: the loss was ${loss.toPrecision(3)}, up from ${lowestLoss.toPrecision(3)}; use an earlier snapshot`,
  ];
}

/**
 * Loads what a request names, and checks that it fits together. The caller disposes of it.
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used.
 */
export async function openDrawing(asked: ResolvedGenerate, rank: Rank): Promise<Drawing> {
  const network = latestSnapshot(asked.network);
  const weaker = asked.gnet === null ? undefined : latestSnapshot(asked.gnet);
  const given = { ...asked, network: network.path, gnet: weaker?.path ?? null };
  const device = deviceOf(given.device, rank);
  checkDevice(device);
  const snapshot = loadSnapshot(given.network, { precision: given.precision, device });
  const opened: { dispose(): void }[] = [snapshot];
  const dispose = (): void => opened.forEach((each) => void each.dispose());
  try {
    const { denoiser, config } = snapshot;
    const numbered: NumberedGenerate = { ...given, class: classNumber(given.class, snapshot) };
    const weak = loadWeak(numbered, snapshot);
    if (weak) opened.push(weak);
    checkGuidance(numbered, snapshot, weak);
    checkColorize(numbered, config);
    const analytic = await openAnalytic(numbered, snapshot, given.network);
    if (analytic) opened.push(analytic);
    const request = withAnalytic(numbered, snapshot, analytic);
    const { preconditioning } = denoiser;
    const range = weak ? rangeWithin(preconditioning, weak.denoiser.preconditioning) : preconditioning;
    const method = samplingMethod(request, { ...preconditioning, ...range });
    const { notes, ...fromImage } = await givenImage(request, config.shape, denoiser.device);
    const guidance = { weight: request.guidance, by: weak?.denoiser };
    // Only solvers that estimate their error mind a jump.
    const blend = samplerOf(request) === "rk45" ? SMOOTH_BLEND : 1;
    return {
      request,
      snapshot,
      analytic,
      conditions: { method, guidance, analytic: analytic && { ...analytic.part, blend }, ...fromImage },
      notes: [...network.notes, ...(weaker?.notes ?? []), ...request.notes, ...notes, ...lossNotes(snapshot)],
      dispose,
    };
  } catch (error) {
    dispose();
    throw error;
  }
}

/** See {@link NumberedGenerate}. */
function withAnalytic(
  request: NumberedGenerate,
  { analytic: stored }: Snapshot,
  analytic: OpenedAnalytic | undefined,
): NumberedGenerate {
  const isIdle = analytic === undefined && (stored?.handOver.above ?? null) === null;
  return {
    ...request,
    analyticAbove: isIdle ? "auto" : request.analyticAbove,
    analyticData: analytic?.imagesDigest ?? null,
  };
}

/** What is drawn, in one line. */
export function describeDrawing({ request, snapshot, analytic, conditions: { method } }: Drawing): string {
  const { config, denoiser } = snapshot;
  const { steps, sigma } = method;
  const sampler = samplerOf(request);
  const levels = steps.times.filter((t) => t > 0).map(steps.process.sigma);
  const count = sampler === "rk45" ? "" : `, ${levels.length} steps`;
  return (
    `drawing ${request.seeds.length} ${request.seeds.length === 1 ? "image" : "images"} of ${formatImageShape(config.shape)} with ${sampler}${count}, noise levels ` +
    `${formatLevel(sigma)} to ${formatLevel(levels.at(-1) as number)}, ${denoiser.precision}` +
    (analytic ? `, above ${formatLevel(analytic.part.above)} with ${analytic.title}` : "") +
    (request.class === null ? "" : `, class ${classTitle(request.class, classNamesOf(snapshot))}`)
  );
}

/** Averages chosen after a training as a job: from the averages that a run has stored to network snapshots of other widths. */

import { FileFormatError, keep, scope, type Tensor } from "@stf/torch";
import { loadAverages, type StoredAverages } from "../checkpoints/averages-file.js";
import { saveNetwork, storedNetwork } from "../checkpoints/network-file.js";
import { makeFolderFor } from "../common/folders.js";
import { checkAlone } from "../common/ranks.js";
import { type EmaRequest, emaOptions, type ResolvedEma } from "../config/ema-request.js";
import { snapshotDest } from "../config/snapshot-dest.js";
import { reconstructedPath } from "../run/files.js";
import { powerExponent } from "../training/power-average.js";
import { fitProfile, type ProfileFit } from "../training/profile-fit.js";
import { checkStop, type JobContext, jobContext } from "./context.js";
import { withinMemory } from "./memory.js";
import { type Written, writeOrRescue } from "./rescue.js";
import { averagesUntil } from "./stored-averages.js";

/** One average that {@link reconstructAverages} has made. */
export interface ReconstructedAverage {
  /** Its width, sigma_rel. */
  readonly width: number;
  /** Path of the network snapshot. Another than asked for, if that could not be written. */
  readonly dest: string;
  /**
   * The norm of the difference between the weights over time of this average and those of one that had been kept during training,
   * relative to the latter.
   */
  readonly residual: number;
}

/** The result of {@link reconstructAverages}. */
export interface EmaResult {
  /** The averages, in the order of the widths asked for. */
  readonly networks: readonly ReconstructedAverage[];
  /** The time of the averages, in images. */
  readonly images: number;
  /** The times of the stored averages that they are made of, in images. */
  readonly times: readonly number[];
  /** Whether the run's snapshots have an analytic denoiser, which these do not have. */
  readonly lacksAnalytic: boolean;
  /** What could not be written to its path, in one line. */
  readonly problem?: string;
}

/** The tensors of networks, by name, one network for each fit. */
interface Combined extends Disposable {
  readonly weights: readonly ReadonlyMap<string, Tensor>[];
}

/** Adds up stored averages with the coefficients of every fit, in float64. */
function combine(stored: readonly StoredAverages[], fits: readonly ProfileFit[], context: JobContext): Combined {
  const sums = fits.map(() => new Map<string, Tensor>());
  const buffers = new Map<string, Tensor>();
  const release = (): void => {
    for (const tensors of [buffers, ...sums]) for (const tensor of tensors.values()) tensor.dispose();
  };
  try {
    for (const [i, file] of stored.entries()) {
      checkStop(context);
      context.reporter.update(`reading averages: ${i + 1} of ${stored.length}`);
      using loaded = loadAverages(file);
      for (const [k, sum] of sums.entries()) {
        for (const which of [0, 1] as const) {
          addTo(sum, loaded.averages[which], fits[k]?.coefficients[i]?.[which] as number, file.path);
        }
      }
      if (i > 0) continue;
      for (const [name, buffer] of loaded.buffers) buffers.set(name, keep(buffer.clone()));
    }
    const weights = sums.map((sum) => new Map([...buffers, ...sum]));
    return { weights, [Symbol.dispose]: release };
  } catch (error) {
    release();
    throw error;
  } finally {
    context.reporter.clear();
  }
}

/** @throws FileFormatError when an average lacks a tensor that others have */
function addTo(sum: Map<string, Tensor>, average: ReadonlyMap<string, Tensor>, factor: number, path: string): void {
  const isFirst = sum.size === 0;
  if (!isFirst && (sum.size !== average.size || [...sum.keys()].some((name) => !average.has(name)))) {
    throw new FileFormatError(`${path} cannot be used: its tensors are not those of the other averages; it is damaged`);
  }
  scope(() => {
    for (const [name, tensor] of average) {
      const own = sum.get(name) ?? keep(tensor.double().zerosLike());
      sum.set(name, own.add_(tensor.double(), { alpha: factor }));
    }
  });
}

/** Where each width goes. @throws UsageError when a file there must stay; InputError when the folder cannot be made */
function destinations(
  { dest, isFolder, width }: ResolvedEma,
  images: number,
  used: readonly StoredAverages[],
): string[] {
  const places = isFolder ? width.map((value) => reconstructedPath(dest, images, value)) : [dest];
  for (const place of places) {
    for (const { path } of used) snapshotDest(place, { path, name: `the averages in ${path}` });
    makeFolderFor(place, "dest");
  }
  return places;
}

/** Writes a network snapshot with the configuration of a file of averages and other weights. */
async function writeNetwork(
  dest: string,
  { path, metadata }: StoredAverages,
  weights: ReadonlyMap<string, Tensor>,
  about: Record<string, unknown>,
): Promise<Written> {
  const { denoiser, config } = storedNetwork(path, metadata, weights);
  try {
    return await writeOrRescue(dest, (place) => saveNetwork(place, denoiser, config, about));
  } finally {
    denoiser.dispose();
  }
}

/**
 * Makes averages of any width at a stored time from the averages of a run that was trained with `average: "power"`, and writes each as
 * a network snapshot. They have no analytic denoiser: where that is better than the network was measured for another average.
 *
 *     await reconstructAverages({ from: "runs/00000-…", width: [0.075, 0.15], dest: "networks" });
 *
 * @throws UsageError for a request that is not possible; InputError and FileFormatError for files that cannot be used; Stopped when the
 * job is to stop
 */
export async function reconstructAverages(request: EmaRequest, context: JobContext = jobContext()): Promise<EmaResult> {
  const options = emaOptions(request);
  checkAlone("ema", context.rank);
  const stored = averagesUntil(options.from, options.images);
  const latest = stored.at(-1) as StoredAverages;
  const { images, widths, hasAnalytic: lacksAnalytic } = latest;
  const places = destinations(options, images, stored);
  const times = stored.map((file) => file.images);
  const [first, second] = widths;
  const exponents = [powerExponent(first), powerExponent(second)] as const;
  const fits = options.width.map((width) =>
    fitProfile(times, exponents, { exponent: powerExponent(width), time: images }),
  );
  return await withinMemory(
    () => "ask for fewer 'width'",
    async () => {
      using combined = combine(stored, fits, context);
      const networks: ReconstructedAverage[] = [];
      let trouble: string | undefined;
      for (const [k, width] of options.width.entries()) {
        const { residual } = fits[k] as ProfileFit;
        const about = { ...latest.about, images, average: { power: width, from: times, residual } };
        const weights = combined.weights[k] as ReadonlyMap<string, Tensor>;
        const { path, problem } = await writeNetwork(places[k] as string, latest, weights, about);
        networks.push({ width, dest: path, residual });
        trouble ??= problem;
      }
      return { networks, images, times, lacksAnalytic, ...(trouble !== undefined && { problem: trouble }) };
    },
  );
}

/** The networks of an analysis. */

import { loadSnapshot } from "../../checkpoints/network-file.js";
import type { StoredAnalytic } from "../../checkpoints/stored-analytic.js";
import { InputError, UsageError } from "../../common/errors.js";
import { formatImageShape } from "../../common/image-shape.js";
import type { ResolvedAnalyze } from "../../config/analyze-request.js";
import { storedNames } from "../../config/training.js";
import type { ImageBank } from "../../data/image-bank.js";
import type { Numbering } from "../../data/labels.js";
import type { Denoiser } from "../../networks/denoiser.js";
import type { JobContext } from "../context.js";
import { latestSnapshot } from "../snapshots.js";

/** A network with what its file says about it. */
export interface AnalysedNetwork {
  readonly file: string;
  readonly denoiser: Denoiser;
  /** What replaces it at high noise; undefined for nothing. */
  readonly analytic: StoredAnalytic | undefined;
  /** Images that it was trained on. */
  readonly images: number | undefined;
  /** Names of its classes, by number. */
  readonly classNames: readonly string[] | undefined;
  /** Frees both denoisers. */
  dispose(): void;
}

/**
 * Loads the networks of a request.
 *
 * @throws UsageError for networks that know classes other than 'cond' says; InputError and FileFormatError for files that cannot be used
 */
export function openNetworks({ network, cond, device }: ResolvedAnalyze, { reporter }: JobContext): AnalysedNetwork[] {
  const files = (network ?? []).map((path) => {
    const { path: file, notes } = latestSnapshot(path);
    for (const note of notes) reporter.print(`note: ${note}`);
    return file;
  });
  const opened: AnalysedNetwork[] = [];
  try {
    for (const file of new Set(files)) {
      const { denoiser, analytic, about, dispose } = loadSnapshot(file, { device });
      const { images } = about as { images?: unknown };
      opened.push({
        file,
        ...{ denoiser, analytic, dispose },
        images: typeof images === "number" ? images : undefined,
        classNames: storedNames(about["classNames"]),
      });
      checkConditional(file, denoiser, cond);
    }
    return opened;
  } catch (error) {
    for (const network of opened) network.dispose();
    throw error;
  }
}

function checkConditional(file: string, { labelDim }: Denoiser, cond: boolean): void {
  if (labelDim > 0 === cond) return;
  throw new UsageError(
    cond
      ? `'cond=1' needs class-conditional networks; ${file} has no classes`
      : `${file} is class-conditional: its exact denoiser is the posterior mean within a class; add 'cond=1'`,
  );
}

/** How the classes of the data are numbered: as those of the first network. Networks without class names come from classes sorted as text. */
export function numberingFor(networks: readonly AnalysedNetwork[]): Numbering | undefined {
  const [first] = networks;
  return first && (first.classNames ?? "text");
}

/** @throws InputError when a network cannot see such images, or has not all of their classes */
export function checkNetworks(networks: readonly AnalysedNetwork[], bank: ImageBank): void {
  for (const { file, denoiser } of networks) {
    const [wanted, found] = [formatImageShape(denoiser.shape), formatImageShape(bank.shape)];
    if (wanted !== found) {
      throw new InputError(`${bank.name} must hold images of ${wanted} like those of ${file}, found ${found}`);
    }
    const stranger = denoiser.labelDim > 0 && bank.labels?.find((label) => label >= denoiser.labelDim);
    if (typeof stranger === "number") {
      throw new InputError(
        `${bank.name} must have only classes of ${file}, 0 to ${denoiser.labelDim - 1}, found ${stranger}`,
      );
    }
  }
}

/** The analytic denoiser in a network snapshot, and the noise level at which it takes over. */

import { type Device, FileFormatError, type Tensor } from "@stf/torch";
import type { ClassMixtures } from "../analytic/class-mixtures.js";
import type { HandOver } from "../analytic/hand-over.js";
import type { LowRankMixture } from "../analytic/low-rank-mixture.js";
import { mixtureFromTensors } from "../analytic/mixture-tensors.js";
import { formatImageShape, type ImageShape } from "../common/image-shape.js";
import { metadataField } from "./stored-file.js";

/** What takes over from a network at high noise. */
export interface StoredAnalytic {
  /** A mixture of Gaussians, or one for each class. */
  readonly denoiser: LowRankMixture | ClassMixtures;
  /** Where it takes over, as measured for this network. */
  readonly handOver: HandOver;
}

/** How the names of its tensors begin. */
export const ANALYTIC = "analytic.";

/** The tensors of a snapshot: those of the network, and those of its analytic denoiser without {@link ANALYTIC}. */
export function dividedTensors(tensors: ReadonlyMap<string, Tensor>): {
  readonly network: Map<string, Tensor>;
  readonly analytic: Map<string, Tensor>;
} {
  const [network, analytic] = [new Map<string, Tensor>(), new Map<string, Tensor>()];
  for (const [name, tensor] of tensors) {
    if (name.startsWith(ANALYTIC)) analytic.set(name.slice(ANALYTIC.length), tensor);
    else network.set(name, tensor);
  }
  return { network, analytic };
}

/** The metadata that go with the tensors. */
export const analyticMetadata = ({ handOver }: StoredAnalytic): string => JSON.stringify(handOver);

const isLevel = (value: unknown): boolean => value === null || (typeof value === "number" && value > 0);

function isHandOver(value: unknown): value is HandOver {
  const { above, equal, levels } = Object(value) as Partial<Record<keyof HandOver, unknown>>;
  return isLevel(above) && isLevel(equal) && Array.isArray(levels);
}

/**
 * The analytic denoiser of a snapshot, with tensors of its own; undefined if the file has none.
 *
 * @param tensors - those of the denoiser, by {@link dividedTensors}
 * @throws FileFormatError naming the file, when it is damaged or does not fit the network
 */
export function storedAnalytic(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
  { shape, device }: { readonly shape: ImageShape; readonly device: Device },
): StoredAnalytic | undefined {
  if (tensors.size === 0) return undefined;
  const handOver = metadataField(path, metadata, "analytic");
  if (!isHandOver(handOver)) {
    throw new FileFormatError(
      `${path} cannot be used: its "analytic" does not say where the network is replaced; it is damaged`,
    );
  }
  let denoiser: StoredAnalytic["denoiser"];
  try {
    denoiser = mixtureFromTensors(tensors);
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
  const [found, wanted] = [formatImageShape(denoiser.shape), formatImageShape(shape)];
  if (found !== wanted) {
    denoiser.dispose();
    throw new FileFormatError(
      `${path} cannot be used: its analytic denoiser must be of images of ${wanted}, found ${found}; it is damaged`,
    );
  }
  if (device === "cpu") return { denoiser, handOver };
  const moved = denoiser.to(device);
  denoiser.dispose();
  return { denoiser: moved, handOver };
}

/** Network snapshots: a network with averaged weights and the configuration to rebuild it, as safetensors with JSON metadata. */

import { type Device, FileFormatError, FlatParameters, saveSafetensors, scope, type Tensor } from "@stf/torch";
import { mixtureTensors } from "../analytic/mixture-tensors.js";
import type { Precision } from "../networks/architectures.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import type { TrainingState } from "../training/state.js";
import { ANALYTIC, analyticMetadata, dividedTensors, type StoredAnalytic, storedAnalytic } from "./stored-analytic.js";
import { storedConfig, storedPreconditioning } from "./stored-config.js";
import { metadataField, NETWORK_FORMAT, openStored } from "./stored-file.js";

/** Options of {@link saveNetwork}. */
export interface SaveNetworkOptions {
  /** Whether a later file may replace it; recorded in the file. False when left out. */
  readonly temporary?: boolean;
  /** What takes over from the network at high noise; nothing when left out. */
  readonly analytic?: StoredAnalytic | undefined;
}

/**
 * Writes a network with the configuration to rebuild it, as a safetensors file.
 *
 * @param about - its origin, as JSON-serializable data
 * @throws UsageError when the configuration's preconditioning or its constants differ from the network's; errors of the
 * file system, such as a full disk.
 */
export function saveNetwork(
  path: string,
  network: Denoiser,
  config: NetworkConfig,
  about: Record<string, unknown>,
  { temporary = false, analytic }: SaveNetworkOptions = {},
): void {
  const description = JSON.stringify(storedConfig(network, config));
  scope(() => {
    const tensors = new Map(network.stateDict());
    if (analytic) {
      for (const [name, value] of mixtureTensors(analytic.denoiser)) tensors.set(`${ANALYTIC}${name}`, value);
    }
    saveSafetensors(path, tensors, {
      format: NETWORK_FORMAT,
      ...(temporary && { temporary: "true" }),
      network: description,
      training: JSON.stringify(about),
      ...(analytic && { analytic: analyticMetadata(analytic) }),
    });
  });
}

/**
 * Writes the averaged network with the configuration to rebuild it, as a safetensors file.
 *
 * @param about - further JSON-serializable data about the training
 * @throws UsageError when the configuration's preconditioning or its constants differ from the network's; errors of the
 * file system, such as a full disk.
 */
export function saveSnapshot(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  about: Record<string, unknown>,
  options: SaveNetworkOptions = {},
): void {
  saveNetwork(path, state.averaged, config, { images: state.images, ...about }, options);
}

/** Builds the network that a file describes. A damaged description can fail in many ways, deep in the network code. */
function buildNetwork(path: string, config: NetworkConfig, options: BuildOptions): Denoiser {
  try {
    return buildDenoiser(config, options).eval();
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be used: no network can be built from its "network"; it is damaged`, {
      cause,
    });
  }
}

/**
 * The network that a file's metadata describe, in evaluation mode, with weights of that file.
 *
 * @throws FileFormatError naming the file, when the metadata are damaged or the weights do not fit
 */
export function storedNetwork(
  path: string,
  metadata: Readonly<Record<string, string>>,
  weights: ReadonlyMap<string, Tensor>,
  precision: Precision = "fp32",
): { readonly denoiser: Denoiser; readonly config: NetworkConfig } {
  const config = metadataField(path, metadata, "network") as NetworkConfig;
  const preconditioning = storedPreconditioning(path, metadata["network"]);
  const denoiser = buildNetwork(path, config, { precision, preconditioning });
  try {
    denoiser.loadStateDict(weights);
    return { denoiser, config };
  } catch (cause) {
    denoiser.dispose();
    throw new FileFormatError(`${path} cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** The result of {@link loadSnapshot}. */
export interface Snapshot {
  /** The network with averaged weights, in evaluation mode. */
  readonly denoiser: Denoiser;
  /** Its configuration. */
  readonly config: NetworkConfig;
  /** The data that {@link saveNetwork} stored about it. */
  readonly about: Readonly<Record<string, unknown>>;
  /** What takes over from the network at high noise, on its device; undefined if the file has nothing. */
  readonly analytic: StoredAnalytic | undefined;
  /** Frees the network and the analytic denoiser. */
  dispose(): void;
}

/**
 * Builds the network of a snapshot, in evaluation mode.
 *
 * @throws InputError when the file does not exist, or is another of this program's kinds; FileFormatError when it is
 * damaged or not a safetensors file. Both name it.
 */
export function loadSnapshot(
  path: string,
  { precision = "fp32", device = "cpu" }: { precision?: Precision; device?: Device } = {},
): Snapshot {
  const { tensors, metadata } = openStored(path, NETWORK_FORMAT, "network snapshot");
  try {
    const own = dividedTensors(tensors);
    const about = metadata["training"] === undefined ? {} : metadataField(path, metadata, "training");
    const { denoiser, config } = storedNetwork(path, metadata, own.network, precision);
    try {
      // After the network, without which its shape may be anything.
      const analytic = storedAnalytic(path, own.analytic, metadata, { shape: denoiser.shape, device });
      // The memory layout of training, so that sampling is as fast and rounds alike. The parameters keep the storage.
      new FlatParameters(denoiser.to(device), { trainable: false }).dispose();
      const dispose = (): void => {
        denoiser.dispose();
        analytic?.denoiser.dispose();
      };
      return { denoiser, config, about: about as Snapshot["about"], analytic, dispose };
    } catch (error) {
      denoiser.dispose();
      throw error;
    }
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

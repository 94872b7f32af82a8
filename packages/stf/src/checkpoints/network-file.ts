/** Network snapshots: a network with averaged weights and the configuration to rebuild it, as safetensors with JSON metadata. */

import { type Device, FileFormatError, FlatParameters, saveSafetensors } from "@stf/torch";
import type { Precision } from "../networks/architectures.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import type { TrainingState } from "../training/state.js";
import { storedConfig, storedPreconditioning } from "./stored-config.js";
import { metadataField, NETWORK_FORMAT, openStored } from "./stored-file.js";

/**
 * Writes a network with the configuration to rebuild it, as a safetensors file.
 *
 * @param about - its origin, as JSON-serializable data
 * @param options.temporary - whether a later one may replace it; recorded in the file
 * @throws UsageError when the configuration's preconditioning or its constants differ from the network's; errors of the
 * file system, such as a full disk.
 */
export function saveNetwork(
  path: string,
  network: Denoiser,
  config: NetworkConfig,
  about: Record<string, unknown>,
  { temporary = false }: { readonly temporary?: boolean } = {},
): void {
  saveSafetensors(path, network.stateDict(), {
    format: NETWORK_FORMAT,
    ...(temporary && { temporary: "true" }),
    network: JSON.stringify(storedConfig(network, config)),
    training: JSON.stringify(about),
  });
}

/**
 * Writes the averaged network with the configuration to rebuild it, as a safetensors file.
 *
 * @param about - further JSON-serializable data about the training
 * @param options.temporary - whether a later one may replace it; recorded in the file
 * @throws UsageError when the configuration's preconditioning or its constants differ from the network's; errors of the
 * file system, such as a full disk.
 */
export function saveSnapshot(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  about: Record<string, unknown>,
  options: { readonly temporary?: boolean } = {},
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

/** The result of {@link loadSnapshot}. */
export interface Snapshot {
  /** The network with averaged weights, in evaluation mode. */
  readonly denoiser: Denoiser;
  /** Its configuration. */
  readonly config: NetworkConfig;
  /** The data that {@link saveNetwork} stored about it. */
  readonly about: Readonly<Record<string, unknown>>;
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
    const config = metadataField(path, metadata, "network") as NetworkConfig;
    const preconditioning = storedPreconditioning(path, metadata["network"]);
    const denoiser = buildNetwork(path, config, { precision, preconditioning });
    try {
      denoiser.loadStateDict(tensors);
    } catch (cause) {
      denoiser.dispose();
      throw new FileFormatError(`${path} cannot be used: ${(cause as Error).message}`, { cause });
    }
    // The memory layout of training, so that sampling is as fast and rounds alike. The parameters keep the storage.
    new FlatParameters(denoiser.to(device), { trainable: false }).dispose();
    const about = metadata["training"] === undefined ? {} : metadataField(path, metadata, "training");
    return { denoiser, config, about: about as Snapshot["about"] };
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

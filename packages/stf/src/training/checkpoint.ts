/**
 * Checkpoints are safetensors files: tensors under the published names, and JSON metadata that say what they are. A
 * snapshot holds the averaged network; a state holds everything needed to go on.
 */

import { existsSync, statSync } from "node:fs";
import {
  type Device,
  FileFormatError,
  FlatParameters,
  loadSafetensors,
  noGrad,
  saveSafetensors,
  scope,
  type Tensor,
} from "@stf/torch";
import type { Precision } from "../networks/architectures.js";
import { type BuildOptions, buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import { storedConfig, storedPreconditioning } from "../networks/stored-config.js";
import { differenceOf } from "../preconditioning/table.js";
import { InputError, UsageError } from "../run/errors.js";
import type { TrainingState } from "./state.js";

const NETWORK_FORMAT = "stf-network-1";
const STATE_FORMAT = "stf-training-state-1";

/** The parts of a state that are flat tensors, by the prefix of their names in the file. */
const flatParts = (state: TrainingState): Record<string, Tensor> => ({
  net: state.parameters.values,
  ema: state.ema.average.values,
  exp_avg: state.optimizer.expAvg,
  exp_avg_sq: state.optimizer.expAvgSq,
});

/**
 * Writes a network with what is needed to build it again, as a safetensors file.
 *
 * @param about - where it comes from, as JSON can hold it
 * @throws UsageError when the configuration names another preconditioning, or other constants, than the network has; what the
 * file system reports, such as a full disk.
 */
export function saveNetwork(
  path: string,
  network: Denoiser,
  config: NetworkConfig,
  about: Record<string, unknown>,
): void {
  saveSafetensors(path, network.stateDict(), {
    format: NETWORK_FORMAT,
    network: JSON.stringify(storedConfig(network, config)),
    training: JSON.stringify(about),
  });
}

/**
 * Writes the averaged network, with what is needed to build it again, as a safetensors file.
 *
 * @param about - anything else about the training that can be written as JSON
 * @throws UsageError when the configuration names another preconditioning, or other constants, than the network has; what the
 * file system reports, such as a full disk.
 */
export function saveSnapshot(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  about: Record<string, unknown>,
): void {
  saveNetwork(path, state.averaged, config, { images: state.images, ...about });
}

/**
 * Writes everything needed to go on from here, as a safetensors file.
 *
 * @param options - the options of the run, as JSON can hold them
 * @throws UsageError when the configuration names another preconditioning, or other constants, than the network has; what the
 * file system reports, such as a full disk.
 */
export function saveState(
  path: string,
  state: TrainingState,
  config: NetworkConfig,
  options: Record<string, unknown>,
): void {
  const stored = storedConfig(state.network, config);
  scope(() => {
    const tensors = new Map<string, Tensor>();
    for (const [part, flat] of Object.entries(flatParts(state))) {
      for (const [name, view] of state.parameters.viewsOf(flat)) tensors.set(`${part}.${name}`, view);
    }
    for (const [name, buffer] of state.network.namedBuffers()) tensors.set(`net.${name}`, buffer);
    saveSafetensors(path, tensors, {
      format: STATE_FORMAT,
      network: JSON.stringify(stored),
      options: JSON.stringify(options),
      clock: JSON.stringify({ images: state.images, optimizerSteps: state.optimizer.stepCount }),
    });
  });
}

function metadataField(path: string, metadata: Readonly<Record<string, string>>, name: string): unknown {
  try {
    return JSON.parse(metadata[name] ?? "");
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be read: its "${name}" is missing or damaged`, { cause });
  }
}

function open(path: string, format: string, what: string): ReturnType<typeof loadSafetensors> {
  if (!existsSync(path)) throw new InputError(`there is no ${what} at ${path}`);
  if (statSync(path).isDirectory()) throw new InputError(`${path} is a folder; name the ${what} in it`);
  if (/\.(pkl|pt|pth)$/i.test(path)) {
    throw new InputError(
      `${path} was made elsewhere; turn it into a network snapshot: npx stf import ${path} --dest=network.safetensors`,
    );
  }
  const content = loadSafetensors(path);
  const { format: found } = content.metadata;
  if (found !== format) {
    for (const tensor of content.tensors.values()) tensor.dispose();
    throw new InputError(
      `${path} is no ${what} of this program: its format must be "${format}", found ${found ? `"${found}"` : "none"}`,
    );
  }
  return content;
}

/** Builds the network that a file describes. A damaged description can fail in any way, far from here. */
function buildNetwork(path: string, config: NetworkConfig, options: BuildOptions): Denoiser {
  try {
    return buildDenoiser(config, options).eval();
  } catch (cause) {
    throw new FileFormatError(`${path} cannot be used: no network can be built from its "network"; it is damaged`, {
      cause,
    });
  }
}

/** What {@link loadSnapshot} reads. */
export interface Snapshot {
  /** The network with averaged weights, in evaluation mode. */
  readonly denoiser: Denoiser;
  /** What it was built from. */
  readonly config: NetworkConfig;
  /** What {@link saveNetwork} was told about it. */
  readonly about: Readonly<Record<string, unknown>>;
}

/**
 * Builds the network of a snapshot, in evaluation mode.
 *
 * @throws InputError when there is no such file, or it is another one of this program's; FileFormatError when it is
 * damaged or no safetensors file. Both name it.
 */
export function loadSnapshot(
  path: string,
  { precision = "fp32", device = "cpu" }: { precision?: Precision; device?: Device } = {},
): Snapshot {
  const { tensors, metadata } = open(path, NETWORK_FORMAT, "network snapshot");
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
    // The layout of training, so that sampling is as fast as there and rounds alike. The parameters keep the storage.
    new FlatParameters(denoiser.to(device), { trainable: false }).dispose();
    const about = metadata["training"] === undefined ? {} : metadataField(path, metadata, "training");
    return { denoiser, config, about: about as Snapshot["about"] };
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

/** What {@link loadState} reads. */
export interface SavedState {
  /** What the network was built from. */
  readonly config: NetworkConfig;
  /** The options of the run. */
  readonly options: Record<string, unknown>;
  /**
   * Copies everything into a state of the same configuration, once. Frees the copy in memory.
   *
   * @throws FileFormatError when a tensor is missing, UsageError when the state has another preconditioning; nothing is copied
   * then.
   */
  restore(state: TrainingState): void;
}

interface Clock {
  readonly images: number;
  readonly optimizerSteps: number;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/**
 * Reads a training state into memory, where it stays until `restore` is called.
 *
 * @throws InputError when there is no such file, or it is another one of this program's; FileFormatError when it is
 * damaged or no safetensors file. Both name it.
 */
export function loadState(path: string): SavedState {
  const { tensors, metadata } = open(path, STATE_FORMAT, "training state");
  const release = (): void => {
    for (const tensor of tensors.values()) tensor.dispose();
  };
  const find = (name: string): Tensor => {
    const tensor = tensors.get(name);
    if (!tensor) throw new FileFormatError(`${path} cannot be used: it lacks "${name}"`);
    return tensor;
  };
  try {
    const config = metadataField(path, metadata, "network") as NetworkConfig;
    const preconditioning = storedPreconditioning(path, metadata["network"]);
    const options = metadataField(path, metadata, "options") as Record<string, unknown>;
    const clock = metadataField(path, metadata, "clock") as Clock | null;
    if (!isCount(clock?.images) || !isCount(clock.optimizerSteps)) {
      throw new FileFormatError(`${path} cannot be used: its "clock" must count images and steps; it is damaged`);
    }
    return {
      config,
      options,
      restore(state) {
        try {
          const difference = differenceOf(state.network.preconditioning, preconditioning);
          if (difference) {
            throw new UsageError(
              `the network must have the preconditioning of ${path}, ${difference.wanted}, found ${difference.found}; build it from the file's own configuration`,
            );
          }
          noGrad(() => scope(() => copyInto(state, find)));
        } finally {
          release();
        }
        state.images = clock.images;
        state.optimizer.stepCount = clock.optimizerSteps;
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}

/** Copies every tensor of a saved state, found by its name, to its place. Nothing is copied when one is missing. */
function copyInto(state: TrainingState, find: (name: string) => Tensor): void {
  const copies: [target: Tensor, source: Tensor][] = [];
  for (const [part, flat] of Object.entries(flatParts(state))) {
    for (const [name, view] of state.parameters.viewsOf(flat)) copies.push([view, find(`${part}.${name}`)]);
  }
  const names = Array.from(state.network.namedBuffers(), ([name]) => name);
  const buffers = new Map(names.map((name) => [name, find(`net.${name}`)]));
  for (const network of [state.network, state.averaged]) network.loadStateDict(buffers, { strict: false });
  for (const [target, source] of copies) target.copy_(source);
}

import { ShapeError } from "@stf/torch";
import { InputError } from "../../common/errors.js";
import type { NetworkConfig } from "../../networks/build.js";
import type { Denoiser } from "../../networks/denoiser.js";
import { differenceOf, type PreconditioningName } from "../../preconditioning/table.js";
import { configOf, namedPreconditioning } from "./config.js";
import { checkWeights } from "./import.js";
import { type Checkpoint, readNetwork } from "./read.js";
import { factsOf } from "./shapes.js";

/** Names of tensors by what became of them. */
export interface Transferred {
  /** Now with the values of the file. */
  readonly copied: readonly string[];
  /** In the networks, not in the file: these keep their values. */
  readonly missing: readonly string[];
  /** In the file, not in the networks. */
  readonly unused: readonly string[];
}

/** Says of which option a failure comes. */
function transferring<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(`'transfer=${path}' must hold a network that this run can begin with: ${cause.message}`, {
      cause,
    });
  }
}

/**
 * What a network must be built from to take the weights in a file.
 *
 * @param precond - the preconditioning where the file names none
 * @throws InputError or FileFormatError naming the file, when it cannot be read or has no network that is known
 */
export function networkForTransfer(path: string, precond: PreconditioningName): NetworkConfig {
  const { config, tensors, construction } = readNetwork(path);
  try {
    return transferring(path, () => config ?? configOf(factsOf(tensors), construction, { assumed: precond }));
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

/**
 * Copies the weights in a file, the averaged ones where it has such, into networks of one architecture.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or fits in no name, or in a shape
 */
export function transferWeights(path: string, networks: readonly Denoiser[]): Transferred {
  const checkpoint = readNetwork(path);
  try {
    return transferring(path, () => copyWeights(checkpoint, networks));
  } finally {
    for (const tensor of checkpoint.tensors.values()) tensor.dispose();
  }
}

/** @throws InputError or ShapeError when the network is another one */
function copyWeights(checkpoint: Checkpoint, networks: readonly Denoiser[]): Transferred {
  const named = namedPreconditioning(checkpoint);
  const own = networks[0]?.preconditioning;
  const difference = named && own && differenceOf(own, named);
  if (difference) {
    throw new InputError(`its network was trained with 'precond' ${difference.wanted}, found ${difference.found}`);
  }
  const { tensors: given } = checkpoint;
  checkWeights(given);
  const names = [...(networks[0]?.stateDict().keys() ?? [])];
  const copied = names.filter((name) => given.has(name));
  if (copied.length === 0) throw new InputError(`none of its ${given.size} tensors has a place in this network`);
  for (const network of networks) network.loadStateDict(given, { strict: false });
  return {
    copied,
    missing: names.filter((name) => !given.has(name)),
    unused: [...given.keys()].filter((name) => !names.includes(name)),
  };
}

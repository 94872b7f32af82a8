import { ShapeError } from "@stf/torch";
import { InputError } from "../../common/errors.js";
import type { NetworkConfig } from "../../networks/build.js";
import type { Denoiser } from "../../networks/denoiser.js";
import type { Constants } from "../../preconditioning/constants.js";
import { differenceOf, levelConstants, type PreconditioningName } from "../../preconditioning/table.js";
import { configOf, namedPreconditioning } from "./config.js";
import { checkWeights } from "./import.js";
import { type Checkpoint, readNetwork } from "./read.js";
import { factsOf } from "./shapes.js";

/** Names of tensors by outcome. */
export interface Transferred {
  /** Copied from the file. */
  readonly copied: readonly string[];
  /** In the networks but not in the file: these keep their values. */
  readonly missing: readonly string[];
  /** In the file but not in the networks. */
  readonly unused: readonly string[];
}

/** Adds the name of the option to a failure. */
function transferring<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(`'transfer=${path}' must hold a network that this run can start from: ${cause.message}`, {
      cause,
    });
  }
}

/**
 * The configuration of a network that can take the weights in a file.
 *
 * @param precond - the preconditioning if the file names none
 * @param constants - its constants then; the published ones when left out
 * @throws InputError or FileFormatError naming the file, when it cannot be read or has no known network
 */
export function networkForTransfer(path: string, precond: PreconditioningName, constants?: Constants): NetworkConfig {
  const { config, tensors, construction, loss } = readNetwork(path);
  const assumed = { assumed: precond, assumedConstants: constants };
  try {
    return transferring(path, () => config ?? configOf(factsOf(tensors), { construction, loss }, assumed));
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

/**
 * Copies the weights in a file, the averaged ones if it has any, into networks of one architecture.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read, no name matches, or a shape differs
 */
export function transferWeights(path: string, networks: readonly Denoiser[]): Transferred {
  const checkpoint = readNetwork(path);
  try {
    return transferring(path, () => copyWeights(checkpoint, networks));
  } finally {
    for (const tensor of checkpoint.tensors.values()) tensor.dispose();
  }
}

/** @throws InputError or ShapeError when the network differs */
function copyWeights(checkpoint: Checkpoint, networks: readonly Denoiser[]): Transferred {
  const named = namedPreconditioning(checkpoint);
  const own = networks[0]?.preconditioning;
  const difference = named && own && differenceOf(own, named, levelConstants);
  if (difference) {
    throw new InputError(`its network was trained with 'precond' ${difference.wanted}, found ${difference.found}`);
  }
  const { tensors: given } = checkpoint;
  checkWeights(given);
  const names = [...(networks[0]?.stateDict().keys() ?? [])];
  const copied = names.filter((name) => given.has(name));
  if (copied.length === 0) throw new InputError(`none of its ${given.size} tensors matches this network`);
  for (const network of networks) network.loadStateDict(given, { strict: false });
  return {
    copied,
    missing: names.filter((name) => !given.has(name)),
    unused: [...given.keys()].filter((name) => !names.includes(name)),
  };
}

import { ShapeError } from "@stf/torch";
import { InputError } from "../../common/errors.js";
import type { Denoiser } from "../../networks/denoiser.js";
import { type Constants, storedConstants } from "../../preconditioning/constants.js";
import { differenceOf, type PreconditioningName } from "../../preconditioning/table.js";
import { namedPreconditioning } from "./config.js";
import { checkWeights } from "./import.js";
import { type Checkpoint, describeCheckpoint, readCheckpoint } from "./read.js";
import { withPublishedNames } from "./shapes.js";

/** Names of tensors by what became of them. */
export interface Transferred {
  /** Now with the values of the file. */
  readonly copied: readonly string[];
  /** In the networks, not in the file: these keep their values. */
  readonly missing: readonly string[];
  /** In the file, not in the networks. */
  readonly unused: readonly string[];
}

/** Says of which option a failure comes, and which others decide whether a file suits. */
function transferring<T>(path: string, body: () => T): T {
  try {
    return body();
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(
      `'transfer=${path}' must hold a network like this run's: ${cause.message}; 'precond', 'arch', 'cbase', 'cres' and 'numBlocks' set it`,
      { cause },
    );
  }
}

/**
 * The constants that a network of a preconditioning must have for the weights in a file: those of the file's own network.
 *
 * @returns undefined when the file names no constants of this preconditioning
 * @throws InputError or FileFormatError naming the file, when it cannot be read
 */
export function constantsForTransfer(path: string, precond: PreconditioningName): Constants | undefined {
  const description = describeCheckpoint(path);
  const named = transferring(path, () => namedPreconditioning(description));
  return named?.name === precond ? storedConstants(named.constants) : undefined;
}

/**
 * Copies the weights in a file, the averaged ones where it has such, into networks of one architecture.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or fits in no name, or in a shape
 */
export function transferWeights(path: string, networks: readonly Denoiser[]): Transferred {
  const checkpoint = readCheckpoint(path);
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
  checkWeights(checkpoint.tensors);
  const given = withPublishedNames(checkpoint.tensors);
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

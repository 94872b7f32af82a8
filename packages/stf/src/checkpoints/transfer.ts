import { ShapeError } from "@stf/torch";
import type { Denoiser } from "../networks/denoiser.js";
import { InputError } from "../run/errors.js";
import { namedPreconditioning } from "./config.js";
import { checkWeights } from "./import.js";
import { readCheckpoint } from "./read.js";
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

/**
 * Copies the weights in a file, the averaged ones where it has such, into networks of one architecture.
 *
 * @throws InputError or FileFormatError naming the file, when it cannot be read or fits in no name, or in a shape
 */
export function transferWeights(path: string, networks: readonly Denoiser[]): Transferred {
  const checkpoint = readCheckpoint(path);
  const { tensors } = checkpoint;
  try {
    const named = namedPreconditioning(checkpoint);
    const wanted = networks[0]?.preconditioning.name;
    if (named !== undefined && named !== wanted) {
      throw new InputError(`its network was trained with --precond=${named}, found --precond=${wanted}`);
    }
    checkWeights(tensors);
    const given = withPublishedNames(tensors);
    const own = [...(networks[0]?.stateDict().keys() ?? [])];
    const copied = own.filter((name) => given.has(name));
    if (copied.length === 0) throw new InputError(`none of its ${given.size} tensors has a place in this network`);
    for (const network of networks) network.loadStateDict(given, { strict: false });
    return {
      copied,
      missing: own.filter((name) => !given.has(name)),
      unused: [...given.keys()].filter((name) => !own.includes(name)),
    };
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(
      `--transfer=${path} must hold a network like this run's: ${cause.message}; --precond, --arch, --cbase, --cres and --num-blocks set it`,
      { cause },
    );
  } finally {
    for (const tensor of tensors.values()) tensor.dispose();
  }
}

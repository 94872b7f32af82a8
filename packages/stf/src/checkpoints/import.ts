/** A network from a checkpoint that was made elsewhere. */

import { ShapeError, type Tensor } from "@stf/torch";
import { buildDenoiser, type NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import { InputError } from "../run/errors.js";
import { type ConfigOverrides, checkDescription, configOf } from "./config.js";
import { type Checkpoint, readCheckpoint, type Which } from "./read.js";
import { factsOf, withPublishedNames } from "./shapes.js";

export interface ImportedNetwork {
  /** In evaluation mode. */
  readonly denoiser: Denoiser;
  readonly config: NetworkConfig;
  /** What kind of file it was, the network's name in it, and what else it held. */
  readonly source: Pick<Checkpoint, "format" | "part" | "skipped">;
  /** Tensors of the network that have no place here. */
  readonly leftOut: readonly string[];
}

/** Used in training alone: without augmentation labels, as in drawing, a network computes the same without it. */
const AUGMENTATION = "model.map_augment.weight";

/** @throws InputError for tensors that can be no weights */
export function checkWeights(tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, { dtype }] of tensors) {
    if (!/^b?float/.test(dtype)) throw new InputError(`its "${name}" must hold floating-point numbers, found ${dtype}`);
  }
}

/** @throws InputError when the network was made with another filter than the one of its length that is used here */
function checkFilters(denoiser: Denoiser, tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, buffer] of denoiser.namedBuffers()) {
    const given = name.endsWith("resample_filter") ? tensors.get(name)?.toFloat64Array() : undefined;
    const own = buffer.toFloat64Array();
    // Another length is another shape, which is said with those of all tensors.
    if (given?.length === own.length && given.some((tap, i) => Math.abs(tap - (own[i] as number)) > 1e-3)) {
      throw new InputError(`its "${name}" has other values than the filters of the known networks`);
    }
  }
}

function build(
  { config: given, construction }: Checkpoint,
  tensors: Map<string, Tensor>,
  overrides: ConfigOverrides,
): Pick<ImportedNetwork, "denoiser" | "config" | "leftOut"> {
  checkWeights(tensors);
  const facts = factsOf(tensors);
  if (given) checkDescription(given, facts);
  const config = given ?? configOf(facts, construction, overrides);
  const leftOut = [AUGMENTATION].filter((name) => !given && tensors.has(name));
  const used = new Map([...tensors].filter(([name]) => !leftOut.includes(name)));
  const denoiser = buildDenoiser(config).eval();
  try {
    checkFilters(denoiser, used);
    denoiser.loadStateDict(used);
    return { denoiser, config, leftOut };
  } catch (error) {
    denoiser.dispose();
    throw error;
  }
}

/**
 * Builds the network of a checkpoint: a published `.pkl` snapshot, a `.pt` or `.pth` of PyTorch, or safetensors.
 *
 * @param options.which - which of the file's networks
 * @param options.arch - the architecture, where the file is not to be believed
 * @param options.precond - the preconditioning, which a plain dictionary of tensors does not tell
 * @throws InputError or FileFormatError naming the file; UsageError when an option must say more
 */
export function importNetwork(
  path: string,
  { which = "auto", ...overrides }: ConfigOverrides & { readonly which?: Which } = {},
): ImportedNetwork {
  const checkpoint = readCheckpoint(path, which);
  const { format, part, skipped } = checkpoint;
  try {
    const built = build(checkpoint, withPublishedNames(checkpoint.tensors), overrides);
    return { ...built, source: { format, part, skipped } };
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(`${path} cannot be imported: ${cause.message}`, { cause });
  } finally {
    for (const tensor of checkpoint.tensors.values()) tensor.dispose();
  }
}

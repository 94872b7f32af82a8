/** A network from a checkpoint of another program. */

import { ShapeError, type Tensor } from "@stf/torch";
import { InputError } from "../../common/errors.js";
import { buildDenoiser, type NetworkConfig } from "../../networks/build.js";
import type { Denoiser } from "../../networks/denoiser.js";
import { type ConfigOverrides, configOf } from "./config.js";
import { type NetworkCheckpoint, readNetwork, type Which } from "./read.js";
import { factsOf } from "./shapes.js";

/** A network from a checkpoint, and facts about its origin. */
export interface ImportedNetwork {
  /** In evaluation mode. */
  readonly denoiser: Denoiser;
  /** Its configuration. */
  readonly config: NetworkConfig;
  /** The kind of file, the network's name in it, whether it is an average, and what else the file held. */
  readonly source: Pick<NetworkCheckpoint, "format" | "part" | "skipped" | "isAveraged">;
}

/** @throws InputError for tensors that cannot be weights */
export function checkWeights(tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, { dtype }] of tensors) {
    if (!/^b?float/.test(dtype)) throw new InputError(`its "${name}" must hold floating-point numbers, found ${dtype}`);
  }
}

/** @throws InputError when buffers determined by the configuration have other values in the file */
function checkBuffers(denoiser: Denoiser, tensors: ReadonlyMap<string, Tensor>): void {
  for (const [name, buffer] of denoiser.namedBuffers()) {
    const given = /(^|\.)(resample_filter|u)$/.test(name) ? tensors.get(name)?.toFloat64Array() : undefined;
    const own = buffer.toFloat64Array();
    const differs = (value: number, i: number): boolean => {
      const wanted = own[i] as number;
      return !(Math.abs(value - wanted) <= 1e-3 * Math.max(1, Math.abs(wanted)));
    };
    // A different length is a different shape, which is reported with those of all tensors.
    if (given?.length === own.length && given.some(differs)) {
      throw new InputError(`its "${name}" has other values than the known networks`);
    }
  }
}

function build(
  tensors: ReadonlyMap<string, Tensor>,
  described: Pick<NetworkCheckpoint, "construction" | "loss">,
  overrides: ConfigOverrides,
): Pick<ImportedNetwork, "denoiser" | "config"> {
  checkWeights(tensors);
  const config = configOf(factsOf(tensors), described, overrides);
  const denoiser = buildDenoiser(config).eval();
  try {
    checkBuffers(denoiser, tensors);
    denoiser.loadStateDict(tensors);
    return { denoiser, config };
  } catch (error) {
    denoiser.dispose();
    throw error;
  }
}

/**
 * Builds the network of a checkpoint: a published `.pkl` snapshot, a PyTorch `.pt` or `.pth`, or safetensors.
 *
 * @param options.which - which of the file's networks
 * @param options.arch - the architecture, overriding the file
 * @param options.precond - the preconditioning, which a plain dictionary of tensors does not contain
 * @throws InputError or FileFormatError naming the file; UsageError when an option must supply more
 */
export function importNetwork(
  path: string,
  { which = "auto", ...overrides }: ConfigOverrides & { readonly which?: Which } = {},
): ImportedNetwork {
  const checkpoint = readNetwork(path, which);
  const { format, part, skipped, isAveraged } = checkpoint;
  try {
    if (checkpoint.isSnapshot) {
      throw new InputError("it is a network snapshot already; draw from it with stf generate");
    }
    const built = build(checkpoint.tensors, checkpoint, overrides);
    return { ...built, source: { format, part, skipped, isAveraged } };
  } catch (cause) {
    if (!(cause instanceof InputError || cause instanceof ShapeError)) throw cause;
    throw new InputError(`${path} cannot be imported: ${cause.message}`, { cause });
  } finally {
    for (const tensor of checkpoint.tensors.values()) tensor.dispose();
  }
}

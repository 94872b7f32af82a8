/** The preconditioning in a checkpoint, which must match that of the network. */

import { FileFormatError } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { NetworkConfig } from "../networks/build.js";
import type { Denoiser } from "../networks/denoiser.js";
import { storedConstants } from "../preconditioning/constants.js";
import type { Preconditioning } from "../preconditioning/preconditioning.js";
import {
  differenceOf,
  isPreconditioningName,
  type NamedPreconditioning,
  preconditioningNames,
  preconditioningOf,
} from "../preconditioning/table.js";
import { KeyedRandom, randomKey } from "../random/keyed.js";

/**
 * The preconditioning of a checkpoint, from the JSON that describes its network. Without constants it has the published ones.
 *
 * @throws FileFormatError naming the file, when the preconditioning is unknown
 */
export function storedPreconditioning(path: string, description: string | undefined): NamedPreconditioning {
  try {
    const { precond, constants } = JSON.parse(description ?? "") as NetworkConfig;
    return preconditioningOf(precond, constants);
  } catch (cause) {
    const reason = cause instanceof UsageError ? `: ${cause.message}` : "";
    throw new FileFormatError(`${path} cannot be used: its "network" is missing or damaged${reason}`, { cause });
  }
}

/** A preconditioning's behaviour in numbers: at a few noise levels inside its range, and for a few random numbers. */
function numbersOf(preconditioning: Preconditioning): number[] {
  const { sigmaMin, sigmaMax, process } = preconditioning;
  const [low, high] = [Math.max(sigmaMin, 1e-3), Math.min(sigmaMax, 1e3)];
  const ofLevels = [low, Math.sqrt(low * high), high].flatMap((sigma) => [
    ...Object.values(preconditioning.coefficients(sigma)),
    preconditioning.lossWeight(sigma),
  ]);
  const drawn = [1, 2, 3].map((i) => preconditioning.noiseLevels(new KeyedRandom(randomKey(0, "noiseLevel", i))));
  const ofProcess = [process.end, process.sigma(0.4), process.scale(0.4)];
  return [sigmaMin, sigmaMax, preconditioning.outputChannels(3), ...ofLevels, ...drawn, ...ofProcess];
}

/** @throws UsageError for one that a checkpoint could not restore */
function checkStorable(preconditioning: Preconditioning): void {
  const { name, constants, levels } = preconditioning;
  const remedy = "keep its weights alone with saveSafetensors(path, network.stateDict())";
  if (!isPreconditioningName(name)) {
    throw new UsageError(
      `checkpoints hold the preconditionings ${preconditioningNames.join(", ")}, found "${name}"; ${remedy}`,
    );
  }
  const plain = preconditioningOf(name, storedConstants(constants));
  const again = levels && plain.withLevels ? plain.withLevels(levels) : plain;
  const wanted = numbersOf(again);
  if (numbersOf(preconditioning).some((value, i) => !Object.is(value, wanted[i]))) {
    throw new UsageError(
      `the preconditioning ${name} must behave as its name and constants define, found a difference; give it another name, and ${remedy}`,
    );
  }
}

/**
 * The configuration of a network as checkpoints store it, with all constants of its preconditioning.
 *
 * @throws UsageError when the configuration contradicts the network, or its preconditioning is of a kind that checkpoints cannot store
 */
export function storedConfig({ preconditioning }: Denoiser, config: NetworkConfig): NetworkConfig {
  checkStorable(preconditioning);
  const claimed = { name: config.precond, constants: { ...preconditioning.constants, ...config.constants } };
  const difference = differenceOf(claimed, preconditioning);
  if (difference) {
    throw new UsageError(
      `the configuration must name the network's preconditioning, ${difference.wanted}; found ${difference.found}; correct precond, or leave constants out`,
    );
  }
  return { ...config, constants: storedConstants(preconditioning.constants) };
}

/** The Inception network in the files that others publish. */

import { noGrad, ones, type StateDict, scope, type Tensor } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import { type InceptionOptions, inceptionNetwork } from "../features/inception.js";
import { inceptionShapes } from "../features/inception-layers.js";
import { isDetector, namesOfDetector } from "./detector-names.js";
import type { StoredWeight } from "./stored-weights.js";
import { checkShapes, readFinite } from "./weight-checks.js";

type Weights = ReadonlyMap<string, StoredWeight>;

/** PyTorch counts the batches that a normalisation has seen; nothing depends on it. */
const COUNTER = /\.num_batches_tracked$/;

const STEM = "Conv2d_1a_3x3.conv.weight";

/** Whether tensors are an Inception-v3, under torchvision's or NVIDIA's names. */
export const isInception = (weights: Weights): boolean => weights.has(STEM) || isDetector(weights);

/** The tensors under torchvision's names. */
function withUsualNames(weights: Weights): Weights {
  if (!isDetector(weights)) return new Map([...weights].filter(([name]) => !COUNTER.test(name)));
  const names = namesOfDetector();
  return new Map([...weights].map(([name, weight]) => [names.get(name) ?? name, weight]));
}

/** @throws InputError for the networks of the same name that are others */
function checkVariant(weights: Weights): void {
  const classes = weights.get("fc.weight")?.shape[0];
  const isAnother = [...weights.keys()].some((name) => name.startsWith("AuxLogits.")) || classes === 1000;
  if (!isAnother) return;
  throw new InputError(
    "it is the Inception-v3 of torchvision, a network with other weights and layers; use the network of 2015-12-05, which docs/features.md says where to get",
  );
}

/** @throws InputError for negative variances */
function checkVariances(state: StateDict): void {
  for (const [name, tensor] of state) {
    if (name.endsWith("running_var") && scope(() => tensor.min().item()) < 0) {
      throw new InputError(`its "${name}" has negative variances; it is damaged`);
    }
  }
}

/** The files of NVIDIA leave out the factors of the normalisation, which are 1. */
function withFactors(weights: Weights): Weights {
  const normalised = [...weights].filter(([name]) => name.endsWith(".bn.bias"));
  const factors = normalised.map(([name, { shape }]): [string, StoredWeight] => {
    return [name.replace(/bias$/, "weight"), { dtype: "float32", shape, toTensor: () => ones(shape) }];
  });
  return new Map([...factors, ...weights]);
}

/**
 * The network with the tensors of a file.
 *
 * @param options.width - factor of the channels of a smaller network, for tests
 * @throws InputError for another network, and for damaged weights
 */
export function inceptionOf(
  stored: Weights,
  { width = 1, ...options }: InceptionOptions & { readonly width?: number },
): FeatureNetwork {
  const renamed = withUsualNames(stored);
  checkVariant(renamed);
  const weights = isDetector(stored) ? withFactors(renamed) : renamed;
  checkShapes("the Inception network", weights, inceptionShapes(width));
  return noGrad(() => {
    const state = new Map<string, Tensor>();
    try {
      for (const [name, weight] of weights) state.set(name, readFinite(name, weight));
      checkVariances(state);
      return inceptionNetwork(state, options);
    } finally {
      for (const tensor of state.values()) tensor.dispose();
    }
  });
}

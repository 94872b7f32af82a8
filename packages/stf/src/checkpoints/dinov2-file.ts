/** DINOv2's networks in the state dicts that are published. */

import type { Device } from "@stf/torch";
import { InputError } from "../common/errors.js";
import { dinov2Network, dinov2Shapes } from "../features/dinov2.js";
import type { FeatureNetwork } from "../features/feature-network.js";
import type { StoredWeight } from "./stored-weights.js";
import { checkShapes, readFinite } from "./weight-checks.js";

type Weights = ReadonlyMap<string, StoredWeight>;

/** Whether tensors are a transformer of DINOv2. */
export const isDinov2 = (weights: Weights): boolean =>
  weights.has("cls_token") && weights.has("patch_embed.proj.weight") && weights.has("blocks.0.ls1.gamma");

/** @throws InputError for the variants that are not supported */
function checkVariant(weights: Weights): void {
  const hasRegisters = weights.has("register_tokens");
  if (!hasRegisters && !weights.has("blocks.0.mlp.w12.weight")) return;
  const variant = hasRegisters ? "with registers" : "of the giant size";
  throw new InputError(
    `it is a DINOv2 ${variant}, which published distances do not use; take dinov2_vitl14_pretrain.pth`,
  );
}

/**
 * The network with the tensors of a file, read one after the other.
 *
 * @throws InputError for another network, and for damaged weights
 */
export function dinov2Of(
  weights: Weights,
  options: { readonly sha256: string; readonly device?: Device },
): FeatureNetwork {
  checkVariant(weights);
  const width = weights.get("cls_token")?.shape.at(-1) ?? 0;
  const positions = weights.get("pos_embed")?.shape[1] ?? 0;
  const blocks = [...weights.keys()].filter((name) => /^blocks\.\d+\.ls1\.gamma$/.test(name));
  const sizes = { width, depth: blocks.length, grid: Math.floor(Math.sqrt(Math.max(0, positions - 1))) };
  checkShapes("a transformer of DINOv2", weights, dinov2Shapes(sizes));
  return dinov2Network((name) => readFinite(name, weights.get(name) as StoredWeight), sizes, options);
}

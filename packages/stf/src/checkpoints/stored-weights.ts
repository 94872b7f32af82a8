/** Named tensors in a file of any known format, before they are read. */

import { type DType, FileFormatError, isSafetensors, loadSafetensors, type Tensor, withTorchFile } from "@stf/torch";
import { tensorsOfScript } from "./foreign/script-module.js";
import { networkIn } from "./foreign/stored-network.js";

/** One tensor of a file. */
export interface StoredWeight {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Reads it. The caller disposes of the result. */
  toTensor(): Tensor;
}

/** What a file of weights holds. */
export interface StoredWeights {
  /** By name in the state dict. */
  readonly weights: ReadonlyMap<string, StoredWeight>;
  /** The strings of a safetensors file; empty for other files. */
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Opens the network in a file while `use` runs: safetensors, a state dict or module saved by PyTorch, a pickled module, or a
 * TorchScript program. Nothing in the file is executed.
 *
 * @throws FileFormatError naming the file, when it is truncated, damaged, of another kind, or made to do harm
 */
export function withWeights<T>(path: string, use: (stored: StoredWeights) => T): T {
  if (isSafetensors(path)) {
    const { tensors, metadata } = loadSafetensors(path);
    try {
      const entries = [...tensors].map(([name, tensor]): [string, StoredWeight] => {
        const { dtype, shape } = tensor;
        return [name, { dtype, shape, toTensor: () => tensor.clone() }];
      });
      return use({ weights: new Map(entries), metadata });
    } finally {
      for (const tensor of tensors.values()) tensor.dispose();
    }
  }
  const open = { acceptPrograms: true };
  return withTorchFile(
    path,
    ({ format, value }) => {
      const weights = format === "program" ? tensorsOfScript(value) : networkIn(value)?.tensors;
      if (!weights || weights.size === 0) throw new FileFormatError("it holds no network");
      return use({ weights, metadata: {} });
    },
    open,
  );
}

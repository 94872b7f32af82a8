/** Weights of a network, in this program's format and in PyTorch's. */

import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { readCheckpoint } from "stf";
import { GoldenFile } from "./golden-file.js";
import { denoiserFrom, type PublishedConfig } from "./networks.js";

/** The names and shapes of the file must be those of the network that its configuration describes. */
export function checkState(file: GoldenFile): void {
  const denoiser = denoiserFrom(file.metadata<PublishedConfig>("config"));
  denoiser.loadStateDict(file.under(""));
  for (const [name, value] of denoiser.stateDict()) file.compareAbsolute(name, value, file.tensor(name), 0);
  denoiser.dispose();
}

/**
 * A state dict in one of PyTorch's formats must hold what the safetensors file of the same number holds, to the last bit.
 * Returns that file, with the comparisons.
 */
export function compareStateDict(path: string): GoldenFile {
  const number = basename(path).split("_", 1)[0];
  const twin = readdirSync(dirname(path)).find((name) => name.startsWith(`${number}_`) && name.endsWith(".safetensors"));
  if (!twin) throw new Error(`it needs the file ${number}_*.safetensors beside it`);
  const file = new GoldenFile(join(dirname(path), twin), basename(path));
  const { tensors } = readCheckpoint(path);
  const [names, expected] = [[...tensors.keys()].sort().join(", "), [...file.names].sort().join(", ")];
  if (names !== expected) throw new Error(`its tensors are ${names.slice(0, 200)}; expected ${expected.slice(0, 200)}`);
  for (const [name, value] of tensors) {
    file.compareAbsolute(name, value, file.tensor(name), 0);
    value.dispose();
  }
  return file;
}

/** Weights of a network, in this program's format and in PyTorch's. */

import { join } from "node:path";
import { readCheckpoint } from "stf";
import { compareOptimizer } from "./adam.js";
import { GoldenFile } from "./golden-file.js";
import { configOf, denoiserFrom, type Place } from "./published-network.js";
import { checkTrainingState, isTrainingState } from "./training-state.js";

/** The names and shapes of the file must be those of the network that its configuration describes. */
export function checkState(file: GoldenFile): void {
  if (isTrainingState(file)) {
    checkTrainingState(file);
    return;
  }
  const denoiser = denoiserFrom(configOf(file));
  denoiser.loadStateDict(file.under(""));
  for (const [name, value] of denoiser.stateDict()) file.compareAbsolute(name, value, file.tensor(name), 0);
  denoiser.dispose();
}

const stemOf = (name: string): string => name.replace(/\.\w+$/, "");

/** The safetensors file with the same name up to the format: "12_state" of "12_state_old.pth". */
function twinOf(name: string, files: readonly string[]): string {
  const stem = stemOf(name);
  const twins = files.filter((other) => other.endsWith(".safetensors") && `${stem}_`.startsWith(`${stemOf(other)}_`));
  const [nearest] = twins.sort((a, b) => b.length - a.length);
  if (!nearest) throw new Error(`it needs the same tensors beside it, in ${stem.replace(/_[^_]*$/, "")}.safetensors`);
  return nearest;
}

/**
 * A state in one of PyTorch's formats must hold what the safetensors file of the same name holds, to the last bit. Returns
 * that file, with the comparisons.
 */
export function compareWithTwin(name: string, { folder, files }: Place): GoldenFile {
  const path = join(folder, name);
  const file = new GoldenFile(join(folder, twinOf(name, files)), name);
  const isTraining = isTrainingState(file);
  const { tensors } = readCheckpoint(path, isTraining ? "net" : "auto");
  const listed = (names: Iterable<string>): string => [...names].sort().join(", ");
  const found = listed(tensors.keys());
  // PyTorch's own training states contain the network, and the optimizer's state by the numbers of its parameters.
  const isNested = isTraining && found !== listed(file.names);
  const wanted = file.under(isNested ? "net." : "");
  const expected = listed(wanted.keys());
  if (found !== expected) throw new Error(`its tensors are ${found.slice(0, 200)}; expected ${expected.slice(0, 200)}`);
  for (const [key, value] of wanted) file.compareAbsolute(key, tensors.get(key) as typeof value, value, 0);
  for (const tensor of tensors.values()) tensor.dispose();
  if (isNested) compareOptimizer(file, path);
  return file;
}

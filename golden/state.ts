/** Weights of a network, in this program's format and in PyTorch's. */

import type { GoldenFile } from "./golden-file.js";
import { denoiserFrom, type PublishedConfig } from "./networks.js";

/** The names and shapes of the file must be those of the network that its configuration describes. */
export function checkState(file: GoldenFile): void {
  const denoiser = denoiserFrom(file.metadata<PublishedConfig>("config"));
  denoiser.loadStateDict(file.under(""));
  for (const [name, value] of denoiser.stateDict()) file.compareAbsolute(name, value, file.tensor(name), 0);
  denoiser.dispose();
}

import type { SampleTarget } from "./target.js";

/** Denoising score matching (Vincent 2011): the clean image itself. */
export const denoisingTarget: SampleTarget = {
  needsReferences: false,
  of: ({ source }) => source.detach(),
};

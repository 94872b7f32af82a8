import type { Target } from "./target.js";

/** Denoising score matching (Vincent 2011): the clean image itself. */
export const denoisingTarget: Target = ({ source }) => source.detach();

/** Separate from the targets, so that the command's help can show it without loading libtorch. */

/** References of a sample whose transform is not a flip, including itself: each is transformed for that sample only. */
export const WARPED_REFERENCES = 128;

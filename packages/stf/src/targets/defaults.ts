/** Apart from the targets themselves, so that the help of the command can name it without libtorch. */

/** References of a sample with a transform that is no flip, itself included: each is transformed for that sample alone. */
export const WARPED_REFERENCES = 128;

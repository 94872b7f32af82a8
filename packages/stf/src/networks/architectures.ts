/** Network families by name. Apart from the networks themselves, so that asking for help does not load libtorch. */

export const architectures = ["ddpmpp", "ncsnpp"] as const;

export type Architecture = (typeof architectures)[number];

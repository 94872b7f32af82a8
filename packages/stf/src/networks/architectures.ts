/** Network families by name. Apart from the networks themselves, so that asking for help does not load libtorch. */

/** The names of the network families: DDPM++ and NCSN++ (Song et al. 2021). */
export const architectures = ["ddpmpp", "ncsnpp"] as const;

/** The name of a network family. */
export type Architecture = (typeof architectures)[number];

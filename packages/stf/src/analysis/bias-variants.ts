/** Ways to choose the references of a stable target: ours, which is unbiased, and others, which are not. */

/** How the references of a noisy sample are chosen, given its source. */
export interface ReferenceScheme {
  /** A few words. */
  readonly name: string;
  /** What it does and what follows, in a sentence. */
  readonly about: string;
  /** How often the source is counted among the references. */
  readonly copies: 0 | 1 | 2;
  /** The others may have any class, although the network is given that of the source. */
  readonly anyClass: boolean;
  /** Each of the others is mirrored with probability 1/2, although the network is told whether the source is. */
  readonly mirrored: boolean;
}

const ours = { copies: 1, anyClass: false, mirrored: false } as const;

/** The name of a target whose bias can be measured. */
export type BiasVariant = "stable" | "sourceExcluded" | "sourceTwice" | "mixedClasses" | "independentFlips";

/** The targets whose bias can be measured. */
export const biasVariants: Readonly<Record<BiasVariant, ReferenceScheme>> = {
  stable: {
    ...ours,
    name: "stable target",
    about:
      "The source is one of its references, exactly once, and the others share everything that the network is told of it: no bias for any number of references.",
  },
  sourceExcluded: {
    ...ours,
    copies: 0,
    name: "source excluded",
    about:
      "The references are drawn without the source, so the noisy image does not come from any of them: the bias vanishes only as their number grows.",
  },
  sourceTwice: {
    ...ours,
    copies: 2,
    name: "source twice",
    about: "The source is counted twice among its references: the target is pulled towards it.",
  },
  mixedClasses: {
    ...ours,
    anyClass: true,
    name: "mixed classes",
    about:
      "References of every class for a network that is given the class, as published: with more references the target tends to the denoiser of all classes.",
  },
  independentFlips: {
    ...ours,
    mirrored: true,
    name: "independent augmentation",
    about:
      "Each reference is mirrored at random for a network that is told whether the source is, as published: with more references the target tends to the denoiser of both.",
  },
};

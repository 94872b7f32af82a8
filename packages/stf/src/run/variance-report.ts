/**
 * What `stf analyze` finds out about a data set, and what variance.json holds. Letters are those of docs/notation.md.
 *
 * Variances and losses are those of a denoiser, per value: E tr Cov(y | x) / D, in squared units of the network's input. A level's
 * factors turn them into other units.
 */

import type { Measured } from "./evaluation.js";
import type { Protocol } from "./protocol.js";

/** A number of references; "all" stands for the whole data set, or the whole class of the source. */
export type ReferenceCount = number | "all";

/** The targets and the posterior at one noise level. */
export interface LevelReport {
  /** The noise level of the unscaled noisy image x = y + sigma eps. */
  readonly sigma: number;
  /** The time of the process at which it has this noise level. */
  readonly time: number;
  /** s(t), the scale of the signal at that time. */
  readonly scale: number;
  /** Factors that turn a variance or loss of the denoiser into other units. */
  readonly factors: {
    /** Score of p_t at x_t = s x: 1 / (s² sigma⁴). */
    readonly score: number;
    /** Training loss: lambda(sigma). */
    readonly loss: number;
  };
  /**
   * V_DSM: the variance of the clean image given the noisy one. It is also the floor, the least loss that a denoiser can have on this
   * data set.
   */
  readonly floor: Measured;
  /** V_STF(n) for each number of references of the report, in its order; 0 for "all" of a data set. */
  readonly stable: readonly Measured[];
  /**
   * V_STF(n) / V_DSM in the same order, with an error of its own: the two are estimated from the same samples. 1 where V_DSM is 0 up to
   * rounding.
   */
  readonly ratio: readonly Measured[];
  /** The paper's bound on V_STF(n) in the same order, without its term O(1/n²); null for one reference, which has none. */
  readonly bound: readonly (number | null)[];
  /** E D_f(p_0 || p_0|t), the divergence of the prior from the posterior in that bound. */
  readonly divergence: Measured;
  /** E ||D* - E y||² / D: what an exact denoiser explains. With the floor it adds up to the variance of the data. */
  readonly explainable: Measured;
  /** What is known only of data sets, whose posterior is a list of weights. */
  readonly posterior?: {
    /** The effective number of source images, 1 / sum_k w_k². */
    readonly effective: Measured;
    /** The entropy of the weights in nats. */
    readonly entropy: Measured;
    /** The weight of the image from which the noisy one was made. */
    readonly source: Measured;
  };
}

/** A network's errors at one noise level. */
export interface NetworkLevel {
  /** On noisy training images. */
  readonly seen: {
    /** E ||D - y||² / D. */
    readonly loss: Measured;
    /** E ||D - D*||² / D, against exact targets: what the network could still gain. */
    readonly excess: Measured;
    /** 1 - excess / explainable: the proportion of the explainable variance that it explains; null where that is 0 up to rounding. */
    readonly explained: Measured | null;
  };
  /** On noisy images that it was not trained on; absent without such images. */
  readonly unseen?: {
    /** E ||D - y||² / D. */
    readonly loss: Measured;
    /** The loss on the same noisy images of the posterior mean over the training set, which knows nothing else. */
    readonly exact: Measured;
    /** The loss on unseen images less the loss on training images. */
    readonly gap: Measured;
    /** That of the analytic denoiser in the network's file; absent if it has none. */
    readonly analytic?: {
      /** E ||D - y||² / D on the same noisy images. */
      readonly loss: Measured;
      /** By how much the loss of the network is higher. */
      readonly advantage: Measured;
    };
  };
}

/** A network's errors at every noise level of the report. */
export interface NetworkReport {
  /** Its file. */
  readonly file: string;
  /** Images that it was trained on, if its file says so. */
  readonly images?: number;
  /** Its errors, in the order of the report's levels. */
  readonly levels: readonly NetworkLevel[];
  /** Where the analytic denoiser in its file replaces it; absent if it has none. */
  readonly handOver?: {
    /** The noise level according to the file; null for nowhere. */
    readonly stored: number | null;
    /** The same, as found on the unseen images of this report; absent without such images. */
    readonly found?: number | null;
  };
}

/** The regression bias of one kind of target at some noise levels. */
export interface BiasReport {
  /** Short name, such as "source excluded". */
  readonly name: string;
  /** What it does, in a sentence. */
  readonly about: string;
  /** References per sample. */
  readonly references: ReferenceCount;
  /** Its bias at each of these noise levels. */
  readonly levels: readonly {
    /** The noise level. */
    readonly sigma: number;
    /**
     * E ||E[target | x, condition] - D*||² / D, an estimate without bias of its own: where there is no bias it scatters around 0, below
     * as well as above.
     */
    readonly squaredBias: Measured;
    /** E ||target - D*||² / D: the squared bias and the variance of the target. */
    readonly squaredError: Measured;
    /** E ||D* - E[y | condition]||² / D: what there is to be learnt at this level. */
    readonly explainable: Measured;
  }[];
}

/** The time of a training step's target on the machine of the analysis. */
export interface TargetCost {
  /** References per sample. */
  readonly references: ReferenceCount;
  /** Milliseconds per image of the batch. */
  readonly milliseconds: number;
}

/** Noise levels at which the posterior changes its nature (Xu et al. 2023, section 3). */
export interface Phases {
  /** Up to this level nearly all weight is on the source: the first phase. Null if no level is that low. */
  readonly sourceUpTo: number | null;
  /** From this level on the posterior is close to the prior: the third phase. Null if no level is that high. */
  readonly priorFrom: number | null;
  /** The level above the first phase at which the variance of the denoising target, in units of the score, is largest. */
  readonly scorePeak: number;
  /** The same in units of the training loss. */
  readonly lossPeak: number;
  /** Probability of a training sample of the preconditioning to lie in the first, second and third phase. */
  readonly probabilities: readonly [number, number, number];
}

/** Settings that suit the data. */
export interface SuggestedSettings {
  /** Standard deviation of all values of the data. */
  readonly sigmaData: number;
  /** The lowest noise level that matters. */
  readonly sigmaMin: number;
  /** The level from which on noisy images cannot be told from noise alone. */
  readonly sigmaMax: number;
  /** Mean of ln sigma in training. */
  readonly pMean: number;
  /** Standard deviation of ln sigma in training. */
  readonly pStd: number;
  /** The wanted fraction of V_DSM at its peak in units of the score. */
  readonly fraction: number;
  /** The references that bring the variance there below that fraction; null for more than were tried. */
  readonly references: ReferenceCount | null;
  /** The options of `stf train` that follow, where they differ from its defaults; none for a distribution in closed form. */
  readonly options: readonly string[];
}

/** The result of an analysis. */
export interface VarianceReport {
  /** What was analysed, and how. */
  readonly protocol: Protocol;
  /** The data. */
  readonly data: {
    /** What it is called. */
    readonly name: string;
    /** Number of images; null for a distribution in closed form. */
    readonly count: number | null;
    /** D */
    readonly dimension: number;
    /** Variance of the data per value, around its mean image. */
    readonly variance: number;
  };
  /** Name of the preconditioning whose process and loss are used. */
  readonly precond: string;
  /** The numbers of references, ascending; the first is 1, and all others are below the number of images that can be the source. */
  readonly references: readonly ReferenceCount[];
  /** In ascending order of the noise level. */
  readonly levels: readonly LevelReport[];
  /** Where the posterior changes its nature. */
  readonly phases: Phases;
  /** What follows for training. */
  readonly suggested: SuggestedSettings;
  /** The time that targets take. */
  readonly costs: readonly TargetCost[];
  /** The errors of networks; none if none was given. */
  readonly networks: readonly NetworkReport[];
  /** The bias of targets; none if it was not asked for. */
  readonly bias: readonly BiasReport[];
  /** What the numbers say, in sentences. */
  readonly findings: readonly string[];
  /** Seconds that it took. */
  readonly seconds: number;
}

/** A noisy image with what could have produced it, for a reader to look at. Images are PNG files as data URLs. */
export interface PosteriorPicture {
  /** The noise level. */
  readonly sigma: number;
  /** x, scaled to the range of the data. */
  readonly noisy: string;
  /** Targets of this noisy image: each number of references of the report, in its order; that of one is the source. */
  readonly targets: readonly string[];
  /** The most probable source images. */
  readonly nearest: readonly {
    /** The image. */
    readonly image: string;
    /** Its posterior weight. */
    readonly weight: number;
    /** Whether the noisy image was made from it. */
    readonly isSource: boolean;
  }[];
  /** The output of each network of the report. */
  readonly networks: readonly string[];
}

/** One source image at several noise levels. */
export interface PosteriorExample {
  /** The image. */
  readonly source: string;
  /** The same noise in ascending strength. */
  readonly levels: readonly PosteriorPicture[];
}

/** What the page of an analysis shows. */
export interface VariancePage {
  /** The numbers. */
  readonly report: VarianceReport;
  /** What a reader can look at; none for a distribution in closed form. */
  readonly examples: readonly PosteriorExample[];
}

/** Options that have an effect only together with another one. */

import { UsageError } from "../common/errors.js";
import type { TrainOptions } from "./train-options.js";

interface Dependence {
  /** Options without an effect of their own. */
  readonly options: readonly (keyof TrainOptions)[];
  /** What gives them one. */
  readonly needs: string;
  readonly isMet: (options: TrainOptions) => boolean;
  /**
   * Given without the option they need, they request a different training from the one that would run; unless the caller has set
   * this option, and knows.
   */
  readonly decidedBy?: "stf" | "cond" | "nothing";
  /** What there is instead. */
  readonly found?: (options: TrainOptions) => string;
}

const dependent: readonly Dependence[] = [
  {
    options: ["rbatch", "stfShard", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"],
    needs: "'stf=1'",
    isMet: ({ stf }) => stf,
    decidedBy: "stf",
  },
  {
    options: ["labelDropout"],
    needs: "'cond=1'",
    isMet: ({ cond, labelDropout }) => cond || labelDropout === 0,
    decidedBy: "cond",
  },
  { options: ["stfRef"], needs: "'cond=1'", isMet: ({ cond }) => cond },
  { options: ["stfAugment", "rbatchAugment"], needs: "'augment' above 0", isMet: ({ augment }) => augment > 0 },
  {
    options: ["cres", "attn", "dropout", "recompute"],
    needs: "a convolutional 'arch'",
    isMet: ({ arch }) => arch !== "mlp",
  },
  { options: ["ema"], needs: "'average=halflife'", isMet: ({ average }) => average === "halflife" },
  {
    options: ["trainBelow"],
    needs: "'analytic' above 0",
    isMet: ({ analytic, trainBelow }) => analytic > 0 || trainBelow === "off",
    decidedBy: "nothing",
    found: () => "'analytic=0': nothing would replace the network above",
  },
  {
    options: ["metricsEvery", "metricsFeatures"],
    needs: "'metrics'",
    isMet: ({ metrics }) => metrics !== null,
    decidedBy: "nothing",
  },
  {
    options: ["pMean", "pStd", "sigmaData"],
    needs: "'precond=edm'",
    isMet: ({ precond }) => precond === "edm",
    decidedBy: "nothing",
    found: ({ precond }) => `'precond=${precond}'`,
  },
  {
    options: ["sigmaMin", "sigmaMax"],
    needs: "'precond=edm' or 'precond=ve'",
    isMet: ({ precond }) => precond === "edm" || precond === "ve",
    decidedBy: "nothing",
    found: ({ precond }) => `'precond=${precond}'`,
  },
];

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(", ");

function withoutEffectAmong(
  given: Partial<TrainOptions>,
  options: TrainOptions,
  isAsked: (dependence: Dependence) => boolean,
): { names: readonly string[]; needs: string; instead: string }[] {
  return dependent
    .filter((dependence) => !dependence.isMet(options) && isAsked(dependence))
    .map(({ options: names, needs, found }) => ({
      instead: found ? `, found ${found(options)}` : "",
      needs,
      names: names.filter((name) => (given[name] ?? null) !== null),
    }))
    .filter(({ names }) => names.length > 0);
}

/**
 * A caller who sets the references but not the switch that uses them would wait for a different network from the one
 * trained. A caller who turns the switch off knows.
 *
 * @throws UsageError that lists all such options, or names a precision that the device does not have
 */
export function checkContradictions(given: Partial<TrainOptions>, options: TrainOptions): void {
  checkPrecision(options);
  const found = withoutEffectAmong(
    given,
    options,
    ({ decidedBy }) => decidedBy !== undefined && (decidedBy === "nothing" || given[decidedBy] === undefined),
  );
  if (found.length === 0) return;
  const parts = found.map(({ names, needs, instead }) => `${quoted(names)} needs ${needs}${instead}`);
  throw new UsageError(`${parts.join(", and ")}; add that, or leave ${found.length > 1 ? "them" : "it"} out`);
}

/** @throws UsageError for what does not work when several processes divide the references */
export function checkDivided(options: TrainOptions): void {
  const { stf, stfShard, rbatch, augment, stfAugment, analytic, metrics, heldOut } = options;
  if (!stf || !stfShard) return;
  if (augment > 0 && stfAugment === "independent") {
    throw new UsageError(
      "'stfShard' and 'stfAugment=independent' exclude each other: such references are made anew in every step, by each process for itself; leave one of them out",
    );
  }
  const needing = [
    analytic > 0 && `'analytic' (it is ${analytic})`,
    metrics !== null && metrics.join() !== "off" && "'metrics'",
    heldOut !== null && "'heldOut'",
  ].filter((text) => text !== false);
  if (rbatch !== "all" || needing.length === 0) return;
  throw new UsageError(
    `'stfShard' with 'rbatch=all' divides the images over the processes, and no process has all of them, as needed for ${needing.join(" and ")}; leave that out${analytic > 0 ? " ('analytic=0')" : ""}, or give a number to 'rbatch'`,
  );
}

/** @throws UsageError when the device cannot compute in the precision at all */
export function checkPrecision({ precision, device }: Pick<TrainOptions, "precision" | "device">): void {
  if (precision === "fp16" && device === "cpu") {
    throw new UsageError(
      "'precision=fp16' needs a GPU ('device=cuda'); on a CPU, 'precision=bf16' has 16 bits, too, and the range of float32",
    );
  }
}

/** A line if the device does not have the precision. */
export function precisionNotes({ precision, device }: Pick<TrainOptions, "precision" | "device">): string[] {
  return precision === "tf32" && device === "cpu"
    ? ["'precision=tf32' has no effect on a CPU, which computes as with fp32; 'precision=bf16' is what it has"]
    : [];
}

/** A line for each given option that has no effect. */
export function withoutEffect(given: Partial<TrainOptions>, options: TrainOptions): string[] {
  const idle = withoutEffectAmong(given, options, () => true).flatMap(({ names, needs }) =>
    names.map((name) => `'${name}' has no effect without ${needs}`),
  );
  return [...idle, ...precisionNotes(options)];
}

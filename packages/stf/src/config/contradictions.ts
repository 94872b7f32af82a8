/** Options that have an effect only together with another one. */

import { UsageError } from "../common/errors.js";
import type { TrainOptions } from "./train-options.js";

interface Dependence {
  /** Options without an effect of their own. */
  readonly options: readonly (keyof TrainOptions)[];
  /** What gives them one. */
  readonly needs: string;
  readonly isMet: (options: TrainOptions) => boolean;
  /** Given without the option they need, they request a different training from the one that would run. */
  readonly decidedBy?: "stf" | "cond";
}

const dependent: readonly Dependence[] = [
  {
    options: ["rbatch", "stfSigma", "stfAugment", "rbatchAugment", "stfRef"],
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
];

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(", ");

function withoutEffectAmong(
  given: Partial<TrainOptions>,
  options: TrainOptions,
  isAsked: (dependence: Dependence) => boolean,
): { names: readonly string[]; needs: string }[] {
  return dependent
    .filter((dependence) => !dependence.isMet(options) && isAsked(dependence))
    .map(({ options: names, needs }) => ({ names: names.filter((name) => given[name] !== undefined), needs }))
    .filter(({ names }) => names.length > 0);
}

/**
 * A caller who sets the references but not the switch that uses them would wait for a different network from the one
 * trained. A caller who turns the switch off knows.
 *
 * @throws UsageError that lists all such options
 */
export function checkContradictions(given: Partial<TrainOptions>, options: TrainOptions): void {
  const found = withoutEffectAmong(
    given,
    options,
    ({ decidedBy }) => decidedBy !== undefined && given[decidedBy] === undefined,
  );
  if (found.length === 0) return;
  const parts = found.map(({ names, needs }) => `${quoted(names)} needs ${needs}`);
  throw new UsageError(`${parts.join(", and ")}; add that, or leave ${found.length > 1 ? "them" : "it"} out`);
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

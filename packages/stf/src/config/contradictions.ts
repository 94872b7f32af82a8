/** Options that only matter together with another one. */

import { UsageError } from "../common/errors.js";
import type { TrainOptions } from "./train-options.js";

interface Dependence {
  /** What has no effect by itself. */
  readonly options: readonly (keyof TrainOptions)[];
  /** With what it has one. */
  readonly needs: string;
  readonly isMet: (options: TrainOptions) => boolean;
  /** Given without the option that they need, they ask for another training than the one that would be done. */
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
 * Who gives references, and not the switch that makes targets of them, would wait for another network than the one that is
 * trained. Who turns the switch off knows.
 *
 * @throws UsageError that names all such options
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

/** A line for every option that was given and has no effect. */
export function withoutEffect(given: Partial<TrainOptions>, options: TrainOptions): string[] {
  return withoutEffectAmong(given, options, () => true).flatMap(({ names, needs }) =>
    names.map((name) => `'${name}' has no effect without ${needs}`),
  );
}

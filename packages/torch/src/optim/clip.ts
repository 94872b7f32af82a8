import { noGrad } from "../autograd.js";
import type { FlatParameters } from "../nn/flat.js";
import { scope } from "../scope.js";

/** The Euclidean norm of all gradients together. */
export function gradientNorm({ gradients }: FlatParameters): number {
  return noGrad(() => scope(() => gradients.linalgVectorNorm().item()));
}

/**
 * Scales all gradients by one factor so that their joint Euclidean norm is at most `maxNorm`; a smaller norm is unchanged.
 *
 * @returns the norm before scaling; if it is not finite the gradients are unchanged
 */
export function clipGradientNorm(parameters: FlatParameters, maxNorm: number): number {
  const norm = gradientNorm(parameters);
  if (Number.isFinite(norm) && norm > maxNorm) noGrad(() => void parameters.gradients.mul_(maxNorm / norm));
  return norm;
}

import { noGrad } from "../autograd.js";
import type { FlatParameters } from "../nn/flat.js";
import { scope } from "../scope.js";

/** The Euclidean norm of all gradients together. */
export function gradientNorm({ gradients }: FlatParameters): number {
  return noGrad(() => scope(() => gradients.linalgVectorNorm().item()));
}

/**
 * Shrinks all gradients by one factor so that their joint Euclidean norm is at most `maxNorm`; smaller ones stay.
 *
 * @returns the norm before; the gradients are left alone when it is not finite
 */
export function clipGradientNorm(parameters: FlatParameters, maxNorm: number): number {
  const norm = gradientNorm(parameters);
  if (Number.isFinite(norm) && norm > maxNorm) noGrad(() => void parameters.gradients.mul_(maxNorm / norm));
  return norm;
}

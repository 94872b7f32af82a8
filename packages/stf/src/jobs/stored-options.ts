/** What a run stores about its options and images. */

import { resolve } from "node:path";
import { absoluteFeatures } from "./open-features.js";
import type { TrainingPlan } from "./training-plan.js";

/** Names of the classes, if the network has classes. */
export const classesOf = ({ options, bank }: TrainingPlan): { readonly classNames?: readonly string[] | null } =>
  options.cond ? { classNames: bank.classNames ?? null } : {};

/** The options as the run stores them: with absolute paths. */
export const storedOptions = (plan: TrainingPlan): Readonly<Record<string, unknown>> => ({
  ...plan.options,
  data: resolve(plan.options.data),
  ...(typeof plan.options.heldOut === "string" && { heldOut: resolve(plan.options.heldOut) }),
  ...(plan.options.transfer !== null && { transfer: resolve(plan.options.transfer) }),
  ...(plan.options.metricsFeatures !== null && { metricsFeatures: absoluteFeatures(plan.options.metricsFeatures) }),
  ...classesOf(plan),
});

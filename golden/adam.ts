/** Adam's state by the names of the parameters; PyTorch stores it by their numbers. */

import { noGrad, type PickleValue, StoredTensor, scope, type Tensor, withTorchFile } from "@stf/torch";
import type { TrainingState } from "stf";
import type { GoldenFile } from "./golden-file.js";

const STEP_TOLERANCE = 1e-6;

/** Parameters with the same settings. The numbers are indices into the list of all parameters. */
export interface PublishedGroup {
  readonly lr: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly weight_decay?: number;
  readonly amsgrad?: boolean;
  readonly params: readonly number[];
}

/** Adam's state of a parameter; empty if it never had a gradient. */
export function momentOf(file: GoldenFile, parameter: string, kind: string): Tensor | undefined {
  const name = [`adam.${parameter}.${kind}`, `adam.${kind}.${parameter}`, `adam.${kind}`].find((name) =>
    file.has(name),
  );
  return name === undefined ? undefined : file.tensor(name);
}

/** The number of steps that all parameters have taken. */
export function stepCountOf(file: GoldenFile, order: readonly string[]): number {
  const steps = order.flatMap((name) => momentOf(file, name, "step")?.item() ?? []);
  const counts = [...new Set(steps)];
  if (counts.length > 1) throw new Error(`all parameters must have taken as many steps, found ${counts.join(", ")}`);
  return counts[0] ?? file.metadataOr("step", 0);
}

/** The flat parts of a state, by their names in the file. */
export const momentsOf = ({
  parameters,
  optimizer,
}: TrainingState): Record<"exp_avg" | "exp_avg_sq", Map<string, Tensor>> => ({
  exp_avg: parameters.viewsOf(optimizer.expAvg),
  exp_avg_sq: parameters.viewsOf(optimizer.expAvgSq),
});

/** One step with the gradient of half the sum of squares, which is the weights, against Adam's formula in float64. */
export function compareStep(
  file: GoldenFile,
  state: TrainingState,
  group: PublishedGroup,
  names: readonly string[],
): void {
  const { lr, eps, weight_decay = 0, amsgrad = false } = group;
  if (weight_decay !== 0 || amsgrad) throw new Error("its Adam must have no weight decay and no amsgrad");
  const [beta1, beta2] = group.betas;
  const { parameters, optimizer } = state;
  noGrad(() => void parameters.gradients.copy_(parameters.values));
  optimizer.step(lr);
  const { stepCount } = optimizer;
  const { exp_avg: first, exp_avg_sq: second } = momentsOf(state);
  const values = parameters.viewsOf(parameters.values);
  for (const name of names) {
    const weights = file.numbers(`net.${name}`);
    const before = (kind: string): Float64Array => momentOf(file, name, kind)?.toFloat64Array() ?? weights.map(() => 0);
    const [m, v] = [before("exp_avg"), before("exp_avg_sq")];
    m.forEach((value, i) => {
      const gradient = weights[i] as number;
      m[i] = beta1 * value + (1 - beta1) * gradient;
      v[i] = beta2 * (v[i] as number) + (1 - beta2) * gradient ** 2;
    });
    const updated = weights.map((weight, i) => {
      const root = Math.sqrt((v[i] as number) / (1 - beta2 ** stepCount));
      return weight - (lr * (m[i] as number)) / (1 - beta1 ** stepCount) / (root + eps);
    });
    const compare = (what: string, found: ReadonlyMap<string, Tensor>, expected: Float64Array): void =>
      file.compare(`a step of ${name}: ${what}`, found.get(name) as Tensor, expected, STEP_TOLERANCE);
    compare("weights", values, updated);
    compare("exp_avg", first, m);
    compare("exp_avg_sq", second, v);
  }
}

const entriesOf = (value: PickleValue | undefined): ReadonlyMap<PickleValue, PickleValue> =>
  value instanceof Map ? value : new Map();

/** The optimizer's state in one of PyTorch's files must be that of the safetensors file, to the last bit. */
export function compareOptimizer(file: GoldenFile, path: string): void {
  const order = file.metadata<string[]>("param_order");
  const groups = file.metadata<PublishedGroup[]>("param_groups");
  withTorchFile(path, ({ value }) => {
    const root = entriesOf(value);
    const optimizer = entriesOf(root.get("optimizer_state") ?? root.get("optimizer"));
    const moments = entriesOf(optimizer.get("state"));
    order.forEach((name, number) => {
      for (const kind of ["step", "exp_avg", "exp_avg_sq"]) {
        const found = entriesOf(moments.get(number)).get(kind);
        const wanted = momentOf(file, name, kind);
        if (found === undefined && wanted === undefined) continue;
        if (!wanted) throw new Error(`its ${kind} of ${name} must be in both files; it is only in the one of PyTorch`);
        scope(() => {
          const stored = found instanceof StoredTensor ? found.toTensor() : [Number(found)];
          file.compareAbsolute(`${kind} of ${name}`, stored, wanted, 0);
        });
      }
    });
    const stored = optimizer.get("param_groups");
    groups.forEach((group, i) => {
      const found = entriesOf(Array.isArray(stored) ? stored[i] : undefined);
      const numbers = ({ lr, betas, eps, params }: Pick<PublishedGroup, "lr" | "betas" | "eps" | "params">): number[] =>
        [lr, ...betas, eps, ...params].map(Number);
      const ours = Object.fromEntries(found) as unknown as PublishedGroup;
      file.compareAbsolute(`group ${i}`, numbers(ours), numbers(group), 0);
    });
  });
}

/** `npm run bench -- --profile=NETWORK`: the time of a training step, operator by operator. */

import { profileOperators } from "@stf/torch";
import { denoisingTarget, type Precision } from "stf";
import { batchOn, type NetworkName, networks } from "./networks.js";
import type { Place } from "./place.js";
import { Trainee } from "./trainee.js";

/** Operators below this fraction are summed up. */
const SMALLEST_FRACTION = 0.002;

export function printProfile(name: NetworkName, precision: Precision, place: Place): void {
  const { label, config } = networks[name];
  const batch = batchOn(networks[name], place);
  const trainee = new Trainee(place, config, precision, batch);
  const objective = { target: denoisingTarget };
  trainee.step(objective);
  let seconds = 0;
  const costs = profileOperators(() => {
    seconds = trainee.step(objective);
  }, place.device);
  trainee.dispose();

  const sum = costs.reduce((total, cost) => total + cost.seconds, 0);
  const row = (operator: string, self: number, calls: number): string =>
    `${operator.padEnd(52)}${(1e3 * self).toFixed(2).padStart(10)} ms${((100 * self) / seconds).toFixed(1).padStart(7)} %${String(calls).padStart(8)}`;
  console.log(
    `one training step of ${label}, ${batch} images, ${precision}: ${(1e3 * seconds).toFixed(0)} ms, of which operators ${(1e3 * sum).toFixed(0)} ms`,
  );
  console.log(`${"operator".padEnd(52)}${"self time".padStart(13)}${"fraction".padStart(9)}${"calls".padStart(8)}`);
  const isLarge = (cost: { readonly seconds: number }): boolean => cost.seconds >= SMALLEST_FRACTION * seconds;
  for (const cost of costs.filter(isLarge)) console.log(row(cost.name, cost.seconds, cost.calls));
  const rest = costs.filter((cost) => !isLarge(cost));
  const total = (key: "seconds" | "calls"): number => rest.reduce((all, cost) => all + cost[key], 0);
  console.log(row(`${rest.length} others`, total("seconds"), total("calls")));
}

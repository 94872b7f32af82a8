/** A training whose steps several processes share: what they must agree on before the first, and after a divergence. */

import { noGrad } from "@stf/torch";
import { UsageError } from "../common/errors.js";
import type { TrainRequest } from "../config/train-request.js";
import type { RunHistory } from "../run/history.js";
import type { TrainingState } from "../training/state.js";
import type { Team } from "./team.js";

/** Only the first process writes. */
const FIRST_ONLY: ReadonlySet<string> = new Set(["outdir"]);
/** Paths that may differ between machines, of which one process reads them for all that are there. */
const OF_MACHINE: ReadonlySet<string> = new Set(["data", "heldOut"]);

/** @throws UsageError when the processes were given different options; in all of them, with the first difference */
export function checkSameRequest(request: TrainRequest, team: Team): void {
  const given = team.gather({
    machine: team.local.ranks[0] as number,
    options: Object.entries(request).filter(([name, value]) => value !== undefined && !FIRST_ONLY.has(name)),
  });
  const options = given.map((each) => new Map<string, unknown>(each.options));
  const text = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
  for (const [rank, { machine }] of given.entries()) {
    for (const name of new Set(options.flatMap((each) => [...each.keys()]))) {
      const first = OF_MACHINE.has(name) ? machine : 0;
      const [wanted, found] = [options[first]?.get(name), options[rank]?.get(name)];
      if (text(wanted) === text(found)) continue;
      throw new UsageError(
        `all processes of a training must have the same options; '${name}' is ${text(wanted)} for rank ${first} and ${text(found)} for rank ${rank}`,
      );
    }
  }
}

/** The state of the first process, in all of them: weights, averages, moments, and the clock. */
export function shareState(state: TrainingState, team: Team): void {
  const { network, averaged, parameters, ema, optimizer, secondAverage, stability } = state;
  noGrad(() =>
    team.fromFirst([
      ...[parameters.values, ema.average.values, optimizer.expAvg, optimizer.expAvgSq],
      ...(secondAverage ? [secondAverage] : []),
      ...[network, averaged].flatMap((each) => Array.from(each.namedBuffers(), ([, buffer]) => buffer)),
    ]),
  );
  const [first] = team.gather({ stability, images: state.images, steps: optimizer.stepCount });
  if (first === undefined || team.rank === 0) return;
  Object.assign(stability, first.stability);
  state.images = first.images;
  optimizer.stepCount = first.steps;
}

/** The history of a run as the first process knows it, in all of them. */
export function shareHistory(history: RunHistory, team: Team): RunHistory {
  const [first] = team.gather({
    ...history,
    lowestLoss: Number.isFinite(history.lowestLoss) ? history.lowestLoss : null,
  });
  return first ? { ...first, lowestLoss: first.lowestLoss ?? Number.POSITIVE_INFINITY } : history;
}

/** A training whose steps several processes share: what they must agree on before the first, and after a divergence. */

import { noGrad } from "@stf/torch";
import type { RunHistory } from "../run/history.js";
import type { TrainingState } from "../training/state.js";
import type { Team } from "./team.js";

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

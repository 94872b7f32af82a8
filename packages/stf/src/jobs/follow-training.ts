/** A training in a process other than the first: it computes its part of every step, and leaves everything else to the first. */

import { loopOptions, trainingData, trainingSettings } from "../config/training.js";
import { levelsBelow, type NoiseLevels } from "../processes/noise-levels.js";
import { noHistory } from "../run/history.js";
import { type TrainingWriter, trainingLoop } from "../training/loop.js";
import { DivergenceError } from "../training/step.js";
import type { JobContext } from "./context.js";
import { rehearseStep } from "./rehearsal.js";
import { shareHistory, shareState } from "./shared-state.js";
import type { Team } from "./team.js";
import type { TrainResult } from "./train-in-folder.js";
import { nextLimit } from "./training-analytic.js";
import { distancesOf } from "./training-distances.js";
import type { TrainingPlan } from "./training-plan.js";

const nowhere: TrainingWriter = { statistics() {}, snapshot: () => undefined, state: () => undefined };

/**
 * Trains along with the first process, to the same weights.
 *
 * @throws TeamError when another process has failed, and with that also when the training has diverged for good
 */
export async function followTraining(plan: TrainingPlan, context: JobContext, team: Team): Promise<TrainResult> {
  const { options, bank, state } = plan;
  const { shouldStop, now } = context;
  const [{ isComplete }] = team.gather({ isComplete: false }) as [{ isComplete: boolean }];
  if (isComplete) return { reason: "complete", folder: options.outdir, images: state.images };
  team.share(state.parameters);
  const data = trainingData(bank, options);
  rehearseStep(state, data, { ...trainingSettings(options), ranks: team }, shouldStop);
  const [{ isLimited }] = team.gather({ isLimited: false }) as [{ isLimited: boolean }];
  const { noiseLevels: all } = state.network.preconditioning;
  const { trainBelow } = options;
  let limit = typeof trainBelow === "number" ? trainBelow : plan.trainedBelow;
  let next = nextLimit(state.images);
  const limited: NoiseLevels = (random) => (limit === undefined ? all : levelsBelow(all, limit))(random);
  const settings = {
    ...trainingSettings(options, distancesOf(bank, options, context)),
    noiseLevels: isLimited && trainBelow !== "off" ? limited : all,
    ranks: team,
  };
  const onStep = (): void => {
    if (!isLimited || trainBelow !== "auto" || state.images < next) return;
    next = nextLimit(state.images);
    limit = team.gather<number | null>(null)[0] ?? undefined;
  };
  const limits = {
    ...loopOptions(options),
    timeLimit: Number.POSITIVE_INFINITY,
    saveSeconds: Number.POSITIVE_INFINITY,
  };
  const any = (statements: readonly boolean[]): boolean[] => team.any(statements);
  for (;;) {
    const history = shareHistory(noHistory, team);
    try {
      const { reason } = await trainingLoop(state, data, settings, limits, nowhere, {
        ...{ onStep, shouldStop, any, now, history },
      });
      // The first one still saves, and some starters end all processes when one has ended.
      team.meet();
      return { reason, folder: options.outdir, images: state.images };
    } catch (error) {
      if (!(error instanceof DivergenceError)) throw error;
      shareState(state, team);
      const [back] = team.gather<{ trainedBelow: number | null } | null>(null);
      if (typeof trainBelow !== "number") limit = back?.trainedBelow ?? undefined;
      next = nextLimit(state.images);
    }
  }
}

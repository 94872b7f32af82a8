/** The processes that share a command, as whoever started them has numbered them. */

import { textOf } from "../common/environment.js";
import { TeamError, UsageError } from "../common/errors.js";
import { rankOf } from "../common/ranks.js";
import { type JobContext, Stopped } from "../jobs/context.js";
import type { Patience } from "../jobs/peers.js";
import { Team } from "../jobs/team.js";
import { isMeetingKnown } from "./meeting.js";

/** Seconds from a variable; undefined for one that is not set. @throws UsageError when it holds no positive number */
function secondsIn(name: string): number | undefined {
  const text = textOf(process.env, name);
  if (text === undefined) return undefined;
  const seconds = Number(text);
  if (seconds > 0) return seconds;
  throw new UsageError(`the variable ${name} must be a positive number of seconds, found "${text}"`);
}

/** The patience that the environment asks for. */
const patienceOf = (): Patience => ({
  join: secondsIn("STF_JOIN_SECONDS"),
  silence: secondsIn("STF_SILENCE_SECONDS"),
  lag: secondsIn("STF_LAG_SECONDS"),
});

/** The processes that this one belongs to; undefined for a single one, and for those that do not meet. */
async function joined({ reporter, shouldStop }: JobContext): Promise<Team | undefined> {
  const rank = rankOf();
  const { size, meeting } = rank;
  if (size === 1 || !meeting) return undefined;
  return await Team.join(rank, meeting, { reporter, shouldStop, patience: patienceOf() });
}

/** Tells the others why this process ends before them. */
function tell(team: Team, error: unknown): void {
  if (error instanceof Stopped) team.stop();
  else if (!(error instanceof TeamError)) team.fail(error instanceof Error ? error : new Error(String(error)));
}

/**
 * Runs a job in a context that knows the other processes, if there are several. Whatever ends it here ends it in all of them.
 *
 * @throws what the job throws; InputError, TeamError and UsageError when the processes do not come together
 */
export async function withTeam<T>(context: JobContext, job: (context: JobContext) => Promise<T>): Promise<T> {
  const team = await joined(context);
  if (!team) return await job(context);
  try {
    // Whoever started them need not have said which of them share a machine.
    const isStated = textOf(process.env, "LOCAL_RANK") !== undefined;
    const rank = isStated ? context.rank : { ...context.rank, local: team.local.rank };
    const result = await job({ ...context, rank, team });
    team.leave();
    return result;
  } catch (error) {
    tell(team, error);
    throw error;
  }
}

/**
 * As {@link withTeam}, for a job whose processes work on parts of any length and seldom meet. They notice between their steps when
 * another one has failed or is to stop. What they exchange is on the CPU.
 */
export async function withParts<T>(context: JobContext, job: (context: JobContext) => Promise<T>): Promise<T> {
  const team = isMeetingKnown() ? await joined(context) : undefined;
  if (!team) return await job(context);
  const shared: JobContext = { ...context, team, shouldStop: () => team.isToStop(context.shouldStop()) };
  try {
    const result = await team.alone("it works on its part", () => job(shared));
    try {
      if (!team.hasEnded) team.meet();
    } catch (error) {
      // The first has the result, whatever becomes of the others.
      if (team.rank > 0 || !(error instanceof TeamError)) throw error;
    }
    team.leave();
    return result;
  } catch (error) {
    tell(team, error);
    throw error;
  }
}

/** What a job returns; undefined when it was stopped before it had anything to return. */
export async function unlessStopped<T>(result: Promise<T>): Promise<T | undefined> {
  try {
    return await result;
  } catch (error) {
    if (error instanceof Stopped) return undefined;
    throw error;
  }
}

/** The processes that share a command, as whoever started them has numbered them. */

import { rankOf } from "../common/ranks.js";
import { type JobContext, Stopped } from "../jobs/context.js";
import { Team, TeamError } from "../jobs/team.js";

/** Where the first process is by default, as published. */
const HOST = "localhost";
const PORT = 29500;

function joined({ reporter, shouldStop }: JobContext, device: string): Promise<Team> {
  const meeting = { host: process.env["MASTER_ADDR"] ?? HOST, port: Number(process.env["MASTER_PORT"] ?? PORT) };
  return Team.join(rankOf(), meeting, { device, reporter, shouldStop });
}

/** Tells the others why this process ends before them. */
function tell(team: Team, error: unknown): void {
  if (error instanceof Stopped) team.stop();
  else if (!(error instanceof TeamError)) team.fail(error instanceof Error ? error.message : String(error));
}

/**
 * Runs a job in a context that knows the other processes, if there are several. Whatever ends it here ends it in all of them.
 *
 * @param device - of the tensors that they exchange
 * @throws what the job throws; InputError, TeamError and UsageError when the processes do not come together
 */
export async function withTeam<T>(
  context: JobContext,
  device: string | undefined,
  job: (context: JobContext) => Promise<T>,
): Promise<T> {
  if (context.rank.size === 1) return await job(context);
  const team = await joined(context, device ?? "cpu");
  try {
    const result = await job({ ...context, team });
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
  if (context.rank.size === 1) return await job(context);
  const team = await joined(context, "cpu");
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

/** The processes that share a command, as whoever started them has numbered them. */

import { UsageError } from "../common/errors.js";
import { rankOf } from "../common/ranks.js";
import type { JobContext } from "../jobs/context.js";
import { type Patience, Team, TeamError } from "../jobs/team.js";

/** Seconds from a variable; undefined for one that is not set. @throws UsageError when it holds no positive number */
function secondsIn(name: string): number | undefined {
  const text = process.env[name];
  if (text === undefined || text === "") return undefined;
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

/**
 * Runs a job in a context that knows the other processes, if there are several. Whatever ends it here ends it in all of them.
 *
 * @throws what the job throws; InputError, TeamError and UsageError when the processes do not come together
 */
export async function withTeam<T>(context: JobContext, job: (context: JobContext) => Promise<T>): Promise<T> {
  const rank = rankOf();
  const { size, meeting } = rank;
  if (size === 1 || !meeting) return await job(context);
  const { reporter, shouldStop } = context;
  const team = await Team.join(rank, meeting, {
    reporter,
    shouldStop,
    patience: patienceOf(),
  });
  try {
    // Whoever started them need not have said which of them share a machine.
    const isStated = (process.env["LOCAL_RANK"] ?? "") !== "";
    const rank = isStated ? context.rank : { ...context.rank, local: team.local.rank };
    const result = await job({ ...context, rank, team });
    team.leave();
    return result;
  } catch (error) {
    if (!(error instanceof TeamError)) team.fail(error instanceof Error ? error.message : String(error));
    throw error;
  }
}

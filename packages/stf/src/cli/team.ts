/** The processes that share a command, as whoever started them has numbered them. */

import { rankOf } from "../common/ranks.js";
import type { JobContext } from "../jobs/context.js";
import { Team, TeamError } from "../jobs/team.js";

/** Where the first process is by default, as published. */
const HOST = "localhost";
const PORT = 29500;

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
  const meeting = { host: process.env["MASTER_ADDR"] ?? HOST, port: Number(process.env["MASTER_PORT"] ?? PORT) };
  const { reporter, shouldStop } = context;
  const team = await Team.join(rankOf(), meeting, { device: device ?? "cpu", reporter, shouldStop });
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

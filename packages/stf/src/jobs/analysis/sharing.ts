/** Who computes the samples of an analysis, and how far that is. */

import type { SampleRanks } from "../../analysis/sample-ranks.js";
import { formatDuration } from "../../common/text.js";
import { checkStop, type JobContext } from "../context.js";
import { gatherArrays } from "../gathered.js";

/** What the parts of an analysis that take samples need. */
export interface Sharing {
  /** The connected processes; undefined for a single one. */
  readonly ranks: SampleRanks | undefined;
  /** Makes a callback that reports how far a part is. */
  progress(title: string, total: number): (done: number) => void;
}

/** The sharing of a job. */
export function sharingOf(context: JobContext): Sharing {
  const { team } = context;
  return {
    ranks: team && { rank: team.rank, size: team.size, gather: (own) => gatherArrays(own, team) },
    progress(title, total) {
      const start = context.now();
      return (done) => {
        checkStop(context);
        const left = ((context.now() - start) / done) * (total - done);
        context.reporter.update(
          `${title}: ${total > 1 ? `${done} of ${total}` : `${Math.round(100 * done)} %`}, ${formatDuration(left)} left`,
        );
      };
    },
  };
}

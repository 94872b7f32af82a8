/** Whether processes are connected, known without loading libtorch. */

import { rankOf } from "../common/ranks.js";

/** Whether whoever started the processes has said where they meet, as torchrun and `stf launch` do. */
export const isMeetingKnown = (environment: Readonly<Record<string, string | undefined>> = process.env): boolean =>
  [environment["MASTER_ADDR"], environment["MASTER_PORT"]].some((text) => (text ?? "") !== "");

/** Number of processes that can share work only through files: those that do not know where they meet. */
export const processesWithFiles = (): number => (isMeetingKnown() ? 1 : rankOf().size);

/** Whether processes are connected, known without loading libtorch. */

import { textOf } from "../common/environment.js";
import { rankOf } from "../common/ranks.js";

const isSet = (name: string): boolean => textOf(process.env, name) !== undefined;

/**
 * Whether whoever started the processes has said where they meet, as all do that are meant for this. With RANK and WORLD_SIZE alone they
 * can share work through files.
 */
export const isMeetingKnown = (): boolean =>
  isSet("MASTER_ADDR") || isSet("MASTER_PORT") || !(isSet("RANK") || isSet("WORLD_SIZE"));

/** Number of processes that can share work only through files: those that do not know where they meet. */
export const processesWithFiles = (): number => (isMeetingKnown() ? 1 : rankOf().size);

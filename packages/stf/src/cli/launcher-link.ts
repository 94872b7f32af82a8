/**
 * What ties a process to the `stf launch` that started it: when the launcher is gone, however it ended, the process ends, too.
 *
 * The launcher holds one end of a socket, each process the other; the system closes the launcher's end when it dies. Because
 * the main thread may be in libtorch for minutes, a second thread watches.
 */

import { constants } from "node:os";
import { Worker } from "node:worker_threads";
import { LAUNCHER } from "../common/ranks.js";

/** The socket's file descriptor in the processes. */
export const LINK = 3;

/** Time for a process to end by itself after SIGTERM, before SIGKILL. */
export const GRACE_MILLISECONDS = 10_000;

/** From now on this process ends when its launcher does; does nothing without a launcher. */
export function watchLauncher(): void {
  const launcher = process.env[LAUNCHER];
  if (launcher === undefined) return;
  // It was gone before this process could watch.
  if (process.ppid !== Number.parseInt(launcher, 10)) process.exit(128 + constants.signals.SIGTERM);
  new Worker(new URL("./launcher-thread.js", import.meta.url), { execArgv: [] }).unref();
}

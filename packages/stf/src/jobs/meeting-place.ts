/** The store at which the processes of a job meet: served by the first of them, or by whoever started them. */

import { connect, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Store, TorchError } from "@stf/torch";
import { InputError } from "../common/errors.js";
import type { Meeting } from "../common/ranks.js";
import { type JobContext, Stopped } from "./context.js";
import { FIRST_NOTICE, secondsText, TeamError } from "./peers.js";

/** What is told of a wait, and who may end it. */
type Waiting = Pick<JobContext, "reporter" | "shouldStop">;

const CONNECT_MILLISECONDS = 2000;

/** Whether a connection to the place is accepted. */
function isListening({ host, port }: Meeting): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MILLISECONDS });
    const end = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => end(true));
    socket.once("timeout", () => end(false));
    socket.once("error", () => end(false));
  });
}

/** Whether this machine can serve a port: c10d would write lines of its own if it cannot. */
function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, () => server.close(() => resolve(true)));
  });
}

/** Until somebody listens: c10d would write a line of its own for each attempt. */
async function awaitStore(
  rank: number,
  meeting: Meeting,
  patience: number,
  { reporter, shouldStop }: Waiting,
): Promise<void> {
  const place = `${meeting.host}:${meeting.port}`;
  const start = performance.now();
  for (let notice = FIRST_NOTICE; !(await isListening(meeting)); await setTimeout(200)) {
    const waited = (performance.now() - start) / 1000;
    if (shouldStop()) throw new Stopped("stopped while rank 0 had not come");
    if (waited > patience) {
      throw new TeamError(
        `rank 0 has not come to ${place} within ${secondsText(waited)}; start it, or set MASTER_ADDR and MASTER_PORT to where it is`,
      );
    }
    if (waited > notice) {
      reporter.warn(`rank ${rank} waits for rank 0 at ${place}`);
      notice = 2 * waited;
    }
  }
}

/**
 * Connects one of several processes to their store, which the first serves unless somebody else does.
 *
 * @param patience - seconds that the others wait for it
 * @throws InputError when the port is taken or the store cannot be reached; TeamError when nobody serves it in time; Stopped when the
 * job is to stop
 */
export async function openStore(rank: number, meeting: Meeting, patience: number, waiting: Waiting): Promise<Store> {
  const { host, port, isServed } = meeting;
  const isServer = rank === 0 && !isServed;
  const cannot = (reason: string): InputError =>
    new InputError(
      `rank ${rank} cannot ${isServer ? "serve" : "reach"} ${host}:${port}: ${reason}; set MASTER_PORT to a free port and MASTER_ADDR to the machine of rank 0, the same in all processes`,
    );
  if (!isServer) await awaitStore(rank, meeting, patience, waiting);
  else if (!(await isFree(port))) throw cannot("the port is taken, perhaps by another job");
  try {
    return new Store({ host, port, isServer });
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw cannot(error.message);
  }
}

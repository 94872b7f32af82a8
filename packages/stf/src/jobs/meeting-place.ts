/** The store at which the processes of a job meet: served by the first of them, or by whoever started them. */

import { lookup } from "node:dns/promises";
import { connect, createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import { Store, TorchError } from "@stf/torch";
import { InputError, TeamError } from "../common/errors.js";
import type { Meeting } from "../common/ranks.js";
import { type JobContext, Stopped } from "./context.js";
import { FIRST_NOTICE, secondsText } from "./peers.js";

const CONNECT_MILLISECONDS = 2000;
/** Of a process to itself. */
const CONNECT_TRIES = 3;
/** A connection that is not ended in this time lasts. */
const LASTING_MILLISECONDS = 100;
/** A cluster makes the names of its machines known within this time. */
const NAME_SECONDS = 50;

/** Whether the name of a machine has an address here: c10d would write lines of its own while it has none. */
const isKnown = (host: string): Promise<boolean> =>
  lookup(host).then(
    () => true,
    () => false,
  );

/**
 * Whether a connection to a place is accepted.
 *
 * @param milliseconds - how long it must last; 0 for one that may end at once
 */
function accepts({ host, port }: Meeting, milliseconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: CONNECT_MILLISECONDS });
    const end = (isOpen: boolean): void => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once("connect", () => {
      if (milliseconds === 0) end(true);
      else void setTimeout(milliseconds).then(() => end(true));
    });
    for (const event of ["timeout", "error", "close"]) socket.once(event, () => end(false));
  });
}

/** Whether a store may be at the place: while its port is tried, connections are ended at once. */
const isListening = (meeting: Meeting): Promise<boolean> => accepts(meeting, LASTING_MILLISECONDS);

/** Why this process cannot serve a place; undefined if it can: c10d would write lines of its own if not, after half a minute. */
async function obstacleTo(meeting: Meeting): Promise<string | undefined> {
  const server = createServer((socket) => void socket.on("error", () => {}).destroy());
  const isFree = await new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen(meeting.port, () => resolve(true));
  });
  if (!isFree) return "the port is taken, perhaps by another job";
  try {
    for (let tries = 0; tries < CONNECT_TRIES; tries++) if (await accepts(meeting, 0)) return undefined;
    return `${meeting.host} does not lead to the machine where rank 0 is`;
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

/** One process on its way to the place. */
interface Arrival extends Pick<JobContext, "reporter" | "shouldStop"> {
  readonly rank: number;
  readonly meeting: Meeting;
  /** Seconds that it waits for the first process. */
  readonly patience: number;
}

/** What is waited for. */
interface Awaiting {
  /** Seconds. */
  readonly atMost: number;
  /** Completes "rank 1 waits for". */
  waitsFor(): string | Promise<string>;
  /** @param waited - seconds */
  failure(waited: number): Error | Promise<Error>;
}

/** Asks several times a second. */
async function until(
  isTrue: () => Promise<boolean>,
  { rank, reporter, shouldStop }: Arrival,
  { atMost, waitsFor, failure }: Awaiting,
): Promise<void> {
  const start = performance.now();
  for (let notice = FIRST_NOTICE; !(await isTrue()); await setTimeout(200)) {
    const waited = (performance.now() - start) / 1000;
    if (shouldStop()) throw new Stopped("stopped while rank 0 had not come");
    if (waited > atMost) throw await failure(waited);
    if (waited > notice) {
      reporter.warn(`rank ${rank} waits for ${await waitsFor()}`);
      notice = 2 * waited;
    }
  }
}

/** Until the name of rank 0's machine is known to it, which takes a while for one that was just made. */
async function awaitName(arrival: Arrival, cannot: (reason: string) => InputError): Promise<void> {
  const { patience, meeting } = arrival;
  const { host } = meeting;
  await until(() => isKnown(host), arrival, {
    atMost: Math.min(patience, NAME_SECONDS),
    waitsFor: () => `an address of ${host}, which is not known here`,
    failure: () => cannot(`no address of ${host} is known there`),
  });
}

/** Until somebody listens: c10d would write a line of its own for each attempt. */
async function awaitStore(arrival: Arrival): Promise<void> {
  const { patience, meeting } = arrival;
  const { host, port } = meeting;
  const unknown = async (): Promise<string> =>
    (await isKnown(host)) ? "" : `, and no address of ${host} is known here`;
  await until(() => isListening(meeting), arrival, {
    atMost: patience,
    waitsFor: async () => `rank 0 at ${host}:${port}${await unknown()}`,
    failure: async (waited) =>
      new TeamError(
        `rank 0 has not come to ${host}:${port} within ${secondsText(waited)}${await unknown()}; start it, or set MASTER_ADDR and MASTER_PORT to where it is`,
      ),
  });
}

/**
 * Connects one of several processes to their store, which the first serves unless somebody else does.
 *
 * @throws InputError when the first cannot serve it; TeamError when nobody serves it in time; Stopped when the job is to stop
 */
export async function openStore(arrival: Arrival): Promise<Store> {
  const { rank, meeting } = arrival;
  const { host, port, isServed } = meeting;
  const isServer = rank === 0 && !isServed;
  const cannot = (reason: string): InputError =>
    new InputError(
      `rank ${rank} cannot ${isServer ? "serve" : "reach"} ${host}:${port}: ${reason}; set MASTER_PORT to a free port and MASTER_ADDR to the machine of rank 0, the same in all processes`,
    );
  if (!isServer) await awaitStore(arrival);
  else {
    await awaitName(arrival, cannot);
    const obstacle = await obstacleTo(meeting);
    if (obstacle !== undefined) throw cannot(obstacle);
  }
  try {
    return new Store({ host, port, isServer });
  } catch (error) {
    if (!(error instanceof TorchError)) throw error;
    throw cannot(error.message);
  }
}

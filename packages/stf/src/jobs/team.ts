/** The processes that share a job: how they find each other, agree, and notice that one of them is gone. */

import { lookup } from "node:dns/promises";
import { readFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import {
  cat,
  type FlatParameters,
  type GradientBuckets,
  ProcessGroup,
  Store,
  scope,
  type Tensor,
  TorchError,
  tensor,
  Watch,
  type WatchState,
  zeros,
} from "@stf/torch";
import { InputError, TeamError, UsageError } from "../common/errors.js";
import type { Meeting, StartedRank } from "../common/ranks.js";
import type { StepRanks } from "../training/ranks.js";
import { type Reporter, Stopped } from "./context.js";

/** How {@link Team.join} waits. Seconds. */
export interface Patience {
  /** For processes that have not come; 600 when left out. */
  readonly join?: number | undefined;
  /** For a process that does not say that it lives; 30 when left out. */
  readonly silence?: number | undefined;
  /** For a process that lives and does not come to what all others wait for, if steps are short; 45 when left out. */
  readonly lag?: number | undefined;
}

/** Why a process ended before the others. */
interface Failure {
  /** Undefined when it was stopped. */
  readonly reason?: string;
  /** Whether its options or variables are wrong, which is then so for all. */
  readonly isUsage?: boolean | undefined;
}

/** Gradients that are summed at once have at least this many bytes: fewer would cost more in calls than they hide. */
const BUCKET_BYTES = 4 * 2 ** 20;
/** A process lags only if it takes this many times as long as this one has ever taken between two collectives. */
const LAG_FACTOR = 3;
/** Seconds without a beat after which a process whose connection broke counts as gone. */
const GONE = 3;
/** Seconds of waiting before a process says what it waits for, and between lines about that. */
const NOTICEABLE = 3;
const NOTICE_EVERY = 10;

/** What a process tells the others about itself. */
interface Words {
  readonly host: string;
  readonly pid: number;
  /** How many processes it expects. */
  readonly size: number;
  /** Number of the collective that it waits in; 0 for none. */
  readonly waits: number;
  /** What keeps it from the next one, although nothing is wrong. */
  readonly busy?: string | undefined;
  /** Whether it was asked to stop. */
  readonly stops?: true | undefined;
}

const wordsIn = (text: string | undefined): Words | undefined => (text ? (JSON.parse(text) as Words) : undefined);

const list = (ranks: readonly number[]): string =>
  `rank${ranks.length > 1 ? "s" : ""} ${ranks.slice(0, 8).join(", ")}${ranks.length > 8 ? ` and ${ranks.length - 8} more` : ""}`;

/** A rank with what is known of its process. */
function named(rank: number, state: WatchState): string {
  const words = wordsIn(state.words[rank]);
  return `rank ${rank}${words ? ` (process ${words.pid} on ${words.host})` : ""}`;
}

/** For a process whose connection broke. */
const goneError = (rank: number, state: WatchState): TeamError =>
  new TeamError(`${named(rank, state)} is gone: it was killed, or its machine or the network failed`);

/** What has happened to a process that is silent. */
const SILENT = "it was stopped or killed, or its machine or the network is gone";

const secondsText = (seconds: number): string => `${Math.round(seconds)} s`;

/** In this time every process hears the store at least once. */
const READING_MILLISECONDS = 1500;
const pause = (milliseconds: number): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

const CONNECT_MILLISECONDS = 2000;
/** Of a process to itself. */
const CONNECT_TRIES = 3;
/** A connection that is not ended in this time lasts. */
const LASTING_MILLISECONDS = 100;
/** A cluster makes the names of its machines known within this time. */
const NAME_SECONDS = 50;

/** What is waited for before processes have met. */
interface Awaiting {
  /** Seconds. */
  readonly atMost: number;
  /** Completes "rank 1 waits for". */
  waitsFor(): string | Promise<string>;
  /** @param waited - seconds */
  failure(waited: number): Error | Promise<Error>;
}

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

const isLoopback = (host: string): boolean => host === "localhost" || host === "::1" || host.startsWith("127.");

/** Names this machine, or container: the host name may be that of others, and the same machine may have several. */
function thisMachine(): string {
  try {
    return `${hostname()} ${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()}`;
  } catch {
    return hostname();
  }
}

/** The processes of one machine. */
export interface Neighbours {
  /** Number of this process among them. */
  readonly rank: number;
  /** How many they are. */
  readonly size: number;
  /** Their ranks among all processes, ascending. */
  readonly ranks: readonly number[];
}

/** Who shares the machine of `rank`, if all processes are on these machines. */
export function neighboursOf(rank: number, machines: readonly string[]): Neighbours {
  const ranks = [...machines.keys()].filter((other) => machines[other] === machines[rank]);
  return { rank: ranks.indexOf(rank), size: ranks.length, ranks };
}

/**
 * Processes that share a job. What they call on it is collective: all of them must, in the same order. Every wait ends: with what it
 * waits for, or with a {@link TeamError} that names the process that has failed.
 */
export class Team implements StepRanks {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  readonly #reporter: Reporter;
  readonly #patience: { readonly join: number; readonly silence: number; readonly lag: number };
  readonly #meeting: Meeting;
  /** Of the keys in the store, which may serve other jobs, and served this one before it was started again. */
  readonly #prefix: string;
  #local: Neighbours | undefined;
  #store: Store | undefined;
  #watch: Watch | undefined;
  #group: ProcessGroup | undefined;
  /** For tensors on GPUs; what the processes tell each other goes through the other group. */
  #deviceGroup: ProcessGroup | undefined;
  #buckets: { readonly of: FlatParameters; readonly buckets: GradientBuckets } | undefined;
  /** Number of collectives begun. */
  #collectives = 0;
  #busy: string | undefined;
  #isWaiting = false;
  #isAskedToStop = false;
  #noticed = 0;
  /** When the last collective ended, and the longest time from one to the next, in seconds. */
  #lastEnd = performance.now() / 1000;
  #longest = 0;
  /** Whether this process has told the others that it takes part no more. */
  hasEnded = false;
  /** When the sums of the last step began and ended; undefined before the first. */
  lastSums: ReturnType<GradientBuckets["finish"]> | undefined;

  private constructor(
    { rank, size, attempt, job = "" }: StartedRank,
    meeting: Meeting,
    reporter: Reporter,
    { join = 600, silence = 30, lag = 45 }: Patience,
  ) {
    this.rank = rank;
    this.size = size;
    this.#prefix = `stf/${job}/${attempt}/`;
    this.#meeting = meeting;
    this.#reporter = reporter;
    this.#patience = { join, silence, lag };
  }

  /**
   * Joins the processes of a job, and waits until all have come.
   *
   * @param options - who hears of waits, and may give up
   * @throws InputError when the port is taken or the first process cannot be reached; TeamError when a process does not come;
   * UsageError when two have one rank
   */
  static async join(
    rank: StartedRank,
    meeting: Meeting,
    options: { reporter: Reporter; shouldStop: () => boolean; patience?: Patience },
  ): Promise<Team> {
    const { reporter, shouldStop, patience = {} } = options;
    const team = new Team(rank, meeting, reporter, patience);
    await team.#meet(shouldStop);
    await team.#awaitAll(shouldStop);
    team.#group = team.#connect("gloo");
    team.#ended();
    team.#local = neighboursOf(team.rank, team.gather(thisMachine()));
    return team;
  }

  /** The processes of this machine, whatever whoever started them has said about that. */
  get local(): Neighbours {
    return this.#local as Neighbours;
  }

  get #place(): string {
    return `${this.#meeting.host}:${this.#meeting.port}`;
  }

  async #meet(shouldStop: () => boolean): Promise<void> {
    const { host, port, isServed } = this.#meeting;
    const isServer = this.rank === 0 && !isServed;
    const cannot = (reason: string): InputError =>
      new InputError(
        `rank ${this.rank} cannot ${isServer ? "serve" : "reach"} ${this.#place}: ${reason}; set MASTER_PORT to a free port and MASTER_ADDR to the machine of rank 0, the same in all processes`,
      );
    if (!isServer) await this.#awaitStore(shouldStop);
    else {
      await this.#awaitName(shouldStop, cannot);
      const obstacle = await obstacleTo(this.#meeting);
      if (obstacle !== undefined) throw cannot(obstacle);
    }
    try {
      this.#store = new Store({ host, port, isServer });
    } catch (error) {
      if (!(error instanceof TorchError)) throw error;
      throw cannot(error.message);
    }
    this.#watch = new Watch(this.#store, `${this.#prefix}watch/`, this.rank, this.size, this.#words());
  }

  /** Until the name of rank 0's machine is known to it, which takes a while for one that was just made. */
  async #awaitName(shouldStop: () => boolean, cannot: (reason: string) => InputError): Promise<void> {
    const { host } = this.#meeting;
    await this.#until(() => isKnown(host), shouldStop, {
      atMost: Math.min(this.#patience.join, NAME_SECONDS),
      waitsFor: () => `an address of ${host}, which is not known here`,
      failure: () => cannot(`no address of ${host} is known there`),
    });
  }

  /** Until somebody listens: c10d would write a line of its own for each attempt. */
  async #awaitStore(shouldStop: () => boolean): Promise<void> {
    const { host } = this.#meeting;
    const unknown = async (): Promise<string> =>
      (await isKnown(host)) ? "" : `, and no address of ${host} is known here`;
    await this.#until(() => isListening(this.#meeting), shouldStop, {
      atMost: this.#patience.join,
      waitsFor: async () => `rank 0 at ${this.#place}${await unknown()}`,
      failure: async (waited) =>
        new TeamError(
          `rank 0 has not come to ${this.#place} within ${secondsText(waited)}${await unknown()}; start it, or set MASTER_ADDR and MASTER_PORT to where it is`,
        ),
    });
  }

  /** Asks several times a second. */
  async #until(
    isTrue: () => Promise<boolean>,
    shouldStop: () => boolean,
    { atMost, waitsFor, failure }: Awaiting,
  ): Promise<void> {
    const start = performance.now();
    for (let notice = NOTICE_EVERY; !(await isTrue()); await setTimeout(200)) {
      const waited = (performance.now() - start) / 1000;
      if (shouldStop()) throw new Stopped("stopped while rank 0 had not come");
      if (waited > atMost) throw await failure(waited);
      if (waited > notice) {
        this.#reporter.warn(`rank ${this.rank} waits for ${await waitsFor()}`);
        notice = 2 * waited;
      }
    }
  }

  #words(waits = 0): string {
    const words: Words = {
      ...{ host: hostname(), pid: process.pid, size: this.size, waits, busy: this.#busy },
      ...(this.#isAskedToStop && { stops: true }),
    };
    return JSON.stringify(words);
  }

  async #awaitAll(shouldStop: () => boolean): Promise<void> {
    const start = performance.now();
    for (let notice = NOTICE_EVERY; ; ) {
      const state = (this.#watch as Watch).state();
      this.#check(state);
      for (const [rank, words] of state.words.entries()) {
        const size = wordsIn(words)?.size ?? this.size;
        if (size === this.size) continue;
        throw this.#told(
          new UsageError(
            `all processes must have the same WORLD_SIZE; it is ${this.size} for rank ${this.rank} and ${size} for rank ${rank}`,
          ),
        );
      }
      const missing = state.words.flatMap((words, rank) => (words === "" ? [rank] : []));
      if (missing.length === 0) return;
      const waited = (performance.now() - start) / 1000;
      if (shouldStop()) {
        this.#tell({ reason: `rank ${this.rank} was stopped while ${list(missing)} had not come` });
        throw new Stopped("stopped while others had not come");
      }
      if (waited > this.#patience.join) {
        throw this.#told(
          new TeamError(
            `${list(missing)} of ${this.size} did not come to ${this.#place} within ${secondsText(waited)}; start all ${this.size} processes, or lower WORLD_SIZE`,
          ),
        );
      }
      if (waited > notice) {
        if (this.rank === 0 || missing.includes(0))
          this.#reporter.warn(`waiting for ${list(missing)} of ${this.size} at ${this.#place}`);
        notice = 2 * waited;
      }
      await setTimeout(100);
    }
  }

  #connect(backend: "gloo" | "nccl"): ProcessGroup {
    const networkInterface = process.env["GLOO_SOCKET_IFNAME"];
    const isLocal = isLoopback(this.#meeting.host) && !networkInterface;
    return new ProcessGroup(this.#store as Store, {
      ...{ rank: this.rank, size: this.size, backend, networkInterface },
      prefix: `${this.#prefix}${backend}/`,
      ...(isLocal && { address: "127.0.0.1" }),
      observer: {
        waiting: (seconds) => this.#waiting(seconds),
        failed: (error) => this.#afterBreak(error),
      },
    });
  }

  /** The group for a tensor: that for GPUs is connected when all processes first need it. */
  #groupOf({ device }: { readonly device: string }): ProcessGroup {
    if (device === "cpu") return this.#group as ProcessGroup;
    this.#deviceGroup ??= this.#connect("nccl");
    return this.#deviceGroup;
  }

  #tell(failure: Failure): void {
    this.#watch?.fail(JSON.stringify(failure));
    // With this process ends the store in which the others read it.
    if (this.rank === 0 && !this.#meeting.isServed) pause(READING_MILLISECONDS);
  }

  /** Tells the others why this process ends. */
  #told(error: Error): Error {
    this.#tell({ reason: error.message, isUsage: error instanceof UsageError });
    return error;
  }

  /**
   * @throws TeamError when a process has failed or fallen silent; Stopped when one was stopped; UsageError when another one has this
   * rank
   */
  #check(state: WatchState): void {
    const { answered, failure, isDoubled, ages } = state;
    const { silence } = this.#patience;
    if (failure !== "") {
      const { reason, isUsage } = JSON.parse(failure) as Failure;
      if (reason === undefined) throw new Stopped("another process was stopped");
      throw new TeamError(reason, { isUsage });
    }
    if (isDoubled) {
      // The others need not know: they have the one that came first.
      throw new UsageError(
        `another process is rank ${this.rank} at ${this.#place}; give each its own RANK, and each job its own MASTER_PORT`,
      );
    }
    if (answered > silence) {
      // Rank 0 serves the store, and has come before anybody could.
      const isOther = !this.#meeting.isServed && state.words[0] === "";
      throw new TeamError(
        isOther
          ? `what listens at ${this.#place} does not answer as rank 0 does: it is another program, or rank 0 was stopped or killed; set MASTER_PORT to a free port there, the same in all processes`
          : `${this.#meeting.isServed ? "the store" : named(0, state)} has not answered at ${this.#place} for ${secondsText(answered)}: ${SILENT}`,
      );
    }
    const silent = ages.flatMap((age, rank) => (age > silence && state.words[rank] !== "" ? [rank] : []));
    if (silent.length > 0) {
      throw this.#told(
        new TeamError(
          `${silent.map((rank) => named(rank, state)).join(", ")} has been silent for ${secondsText(ages[silent[0] as number] as number)}: ${SILENT}`,
        ),
      );
    }
  }

  /** What a wait does several times a second. */
  #waiting(seconds: number): void {
    const watch = this.#watch as Watch;
    const state = watch.state();
    this.#check(state);
    if (seconds < NOTICEABLE) return;
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      watch.say(this.#words(this.#collectives));
    }
    const others = state.words.map((text, rank) => ({ rank, words: wordsIn(text) }));
    const late = others.filter(({ rank, words }) => rank !== this.rank && words?.waits !== this.#collectives);
    const idle = late.filter(({ words }) => words?.busy === undefined);
    const most = Math.max(this.#patience.lag, LAG_FACTOR * this.#longest);
    if (idle.length > 0 && late.length === idle.length && seconds > most) {
      throw this.#told(
        new TeamError(
          `${named(idle[0]?.rank as number, state)} lives, but has not come to where the others have waited for ${secondsText(seconds)}: it hangs or is far too slow`,
        ),
      );
    }
    if (seconds > this.#noticed + NOTICE_EVERY && late.length > 0) {
      this.#noticed = seconds;
      const busy = late.find(({ words }) => words?.busy !== undefined)?.words?.busy;
      this.#reporter.update(
        `waiting for ${list(late.map(({ rank }) => rank))}${busy === undefined ? "" : `: ${busy}`}`,
      );
    }
  }

  /** A connection broke: names the process that is gone. */
  #afterBreak(cause: Error): Error {
    const start = performance.now();
    for (;;) {
      const state = (this.#watch as Watch).state();
      try {
        this.#check(state);
      } catch (error) {
        return error as Error;
      }
      if (state.answered > GONE && !this.#meeting.isServed) {
        return goneError(0, state);
      }
      const gone = state.ages.findIndex((age, rank) => age > GONE && rank !== this.rank);
      if (gone >= 0 && state.answered < GONE) {
        return this.#told(goneError(gone, state));
      }
      if (performance.now() - start > this.#patience.silence * 1000) {
        return this.#told(new TeamError(`the connection of rank ${this.rank} to another one broke: ${cause.message}`));
      }
      pause(200);
    }
  }

  /** The group for a tensor, whose collective begins. */
  #begun(tensor: { readonly device: string } = { device: "cpu" }): ProcessGroup {
    this.#collectives++;
    this.#longest = Math.max(this.#longest, performance.now() / 1000 - this.#lastEnd);
    this.#noticed = 0;
    return this.#groupOf(tensor);
  }

  #ended(): void {
    this.#lastEnd = performance.now() / 1000;
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#watch?.say(this.#words());
  }

  /** Runs what takes long on this process alone; the others then wait for it as long as it lives. */
  alone<T>(what: string, body: () => T): T {
    const [before, longest] = [this.#busy, this.#longest];
    const end = (): void => {
      this.#busy = before;
      this.#watch?.say(this.#words());
      this.#lastEnd = performance.now() / 1000;
      this.#longest = longest;
    };
    this.#busy = what;
    this.#watch?.say(this.#words());
    let isPending = false;
    try {
      const result = body();
      if (!(result instanceof Promise)) return result;
      isPending = true;
      return result.finally(end) as T;
    } finally {
      if (!isPending) end();
    }
  }

  /** Replaces a tensor by its sum over the processes. */
  sum(values: Tensor): void {
    this.#begun(values).allReduce(values).wait();
    this.#ended();
  }

  /** Replaces tensors by those of the first process. */
  fromFirst(tensors: readonly Tensor[]): void {
    const works = tensors.map((each) => this.#begun(each).broadcast(each));
    for (const work of works) work.wait();
    this.#ended();
  }

  /** The tensors of all processes, one after the other along the first axis, in which they may differ. */
  gatherRows(rows: Tensor): Tensor {
    return scope(() => {
      const counts = this.gather(rows.size(0));
      const most = Math.max(...counts);
      const [, ...rest] = rows.shape as number[];
      const padded = zeros([most, ...rest], { dtype: rows.dtype, device: rows.device });
      padded.narrow(0, 0, rows.size(0)).copy_(rows);
      const all = this.#begun(padded).allGather(padded);
      this.#ended();
      return cat(all.map((each, rank) => each.narrow(0, 0, counts[rank] as number)));
    });
  }

  #gatherBytes(bytes: Uint8Array): Uint8Array[] {
    return scope(() => {
      const lengths = this.#begun()
        .allGather(tensor([bytes.length], { dtype: "int64" }))
        .map((each) => each.item());
      const padded = new Uint8Array(Math.max(...lengths, 1));
      padded.set(bytes);
      const all = this.#begun().allGather(tensor(padded));
      this.#ended();
      return all.map((each, rank) => (each.toTypedArray() as Uint8Array).subarray(0, lengths[rank]));
    });
  }

  /** What each process passes, in their order. It must be representable as JSON. */
  gather<T>(value: T): T[] {
    const texts = this.#gatherBytes(new TextEncoder().encode(JSON.stringify(value)));
    return texts.map((text) => JSON.parse(new TextDecoder().decode(text)) as T);
  }

  /** What the first process computes, in all of them, as JSON carries it. The others wait as long as it lives. */
  async first<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    if (this.rank > 0) return this.gather<T | null>(null)[0] as T;
    const value = await this.alone(what, body);
    this.gather(value);
    return value;
  }

  /**
   * Whether this process or any other was asked to stop: asked between the steps of a job whose processes meet seldom, this ends all of
   * them soon. Not a collective.
   *
   * @param own - whether this process was asked to
   * @throws TeamError when another process has failed; Stopped when it has {@link stop}ped
   */
  isToStop(own: boolean): boolean {
    const watch = this.#watch;
    if (!watch) return own;
    const state = watch.state();
    this.#check(state);
    if (own && !this.#isAskedToStop) {
      this.#isAskedToStop = true;
      watch.say(this.#words());
    }
    return own || state.words.some((words) => wordsIn(words)?.stops === true);
  }

  any(statements: readonly boolean[]): boolean[] {
    return scope(() => {
      const counts = tensor(Float32Array.from(statements, Number));
      this.sum(counts);
      return Array.from(counts.toFloat32Array(), (count) => count > 0);
    });
  }

  /** Sums the gradients of a training from now on. */
  share(parameters: FlatParameters): void {
    this.#buckets?.buckets[Symbol.dispose]();
    const buckets = this.#groupOf(parameters.gradients).buckets(parameters, BUCKET_BYTES);
    this.#buckets = { of: parameters, buckets };
  }

  beginSums(): void {
    this.#buckets?.buckets.begin();
  }

  finishSums(others: readonly Tensor[]): number {
    const { of, buckets } = this.#buckets as { of: FlatParameters; buckets: GradientBuckets };
    const group = this.#begun(of.gradients);
    this.lastSums = buckets.finish();
    const start = performance.now();
    const works = others.map((each) => group.allReduce(each));
    for (const work of works) work.wait();
    this.#ended();
    return this.lastSums.waited + (performance.now() - start) / 1000;
  }

  /** Waits until all have come here. */
  meet(): void {
    // Of a tensor without elements, c10d would wait for nobody.
    this.any([false]);
  }

  /** Leaves without a word, after what concerns the others; nothing after {@link stop} or {@link fail}. */
  leave(): void {
    if (!this.hasEnded) this.#close();
  }

  /** Tells the others why this process cannot go on. What they wait for then ends. */
  fail(cause: Error): void {
    this.#end({ reason: `rank ${this.rank} ended: ${cause.message}`, isUsage: cause instanceof UsageError });
  }

  /** Stops in the middle of a job: in the others, what they wait for and {@link isToStop} throw Stopped. */
  stop(): void {
    this.#end({});
  }

  #end(failure: Failure): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.#tell(failure);
    // Its collectives may never end, so the group is left as it is.
    this.#watch?.[Symbol.dispose]();
    this.#watch = undefined;
  }

  #close(): void {
    this.#buckets?.buckets[Symbol.dispose]();
    this.#watch?.[Symbol.dispose]();
    this.#deviceGroup?.[Symbol.dispose]();
    this.#group?.[Symbol.dispose]();
    this.#store?.[Symbol.dispose]();
    this.#buckets = this.#watch = this.#group = this.#deviceGroup = this.#store = undefined;
  }
}

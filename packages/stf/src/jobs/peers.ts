/** The other processes of a job, as one of them sees them: who has come, who lives, who waits where, and why one has ended. */

import { hostname } from "node:os";
import { setTimeout } from "node:timers/promises";
import { type Store, Watch, type WatchState } from "@stf/torch";
import { TeamError, UsageError } from "../common/errors.js";
import type { Meeting, StartedRank } from "../common/ranks.js";
import { type JobContext, type Reporter, Stopped } from "./context.js";

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

/** Seconds of waiting for processes that have not come before that is told. */
export const FIRST_NOTICE = 10;

export const secondsText = (seconds: number): string => `${Math.round(seconds)} s`;

/** A process lags only if it takes this many times as long as this one has ever taken between two collectives. */
const LAG_FACTOR = 3;
/** Seconds without a beat after which a process whose connection broke counts as gone. */
const GONE = 3;
/** Seconds of waiting before a process says what it waits for, and between lines about that. */
const NOTICEABLE = 3;
const NOTICE_EVERY = 10;
/** In this time every process hears the store at least once. */
const READING_MILLISECONDS = 1500;

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

const pause = (milliseconds: number): void =>
  void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);

const seconds = (): number => performance.now() / 1000;

/** What {@link Peers} needs to know. */
export interface PeersOptions {
  /** Of the keys in the store. */
  readonly prefix: string;
  readonly rank: StartedRank;
  readonly meeting: Meeting;
  readonly reporter: Reporter;
  readonly patience: { readonly [Name in keyof Patience]-?: number };
}

/** Hears the other processes by a {@link Watch}, and tells them of this one. */
export class Peers {
  readonly #rank: number;
  readonly #size: number;
  readonly #meeting: Meeting;
  readonly #reporter: Reporter;
  readonly #patience: PeersOptions["patience"];
  readonly #watch: Watch;
  /** Whether this process takes part no more. */
  hasEnded = false;
  #busy: string | undefined;
  #isWaiting = false;
  #isAskedToStop = false;
  #noticed = 0;
  /** Number of collectives begun. */
  #collectives = 0;
  /** When the last collective ended, and the longest time from one to the next, in seconds. */
  #lastEnd = seconds();
  #longest = 0;

  constructor(store: Store, { prefix, rank, meeting, reporter, patience }: PeersOptions) {
    this.#rank = rank.rank;
    this.#size = rank.size;
    this.#meeting = meeting;
    this.#reporter = reporter;
    this.#patience = patience;
    this.#watch = new Watch(store, `${prefix}watch/`, this.#rank, this.#size, this.#words());
  }

  get #place(): string {
    return `${this.#meeting.host}:${this.#meeting.port}`;
  }

  #words(waits = 0): string {
    const words: Words = {
      ...{ host: hostname(), pid: process.pid, size: this.#size, waits, busy: this.#busy },
      ...(this.#isAskedToStop && { stops: true }),
    };
    return JSON.stringify(words);
  }

  /**
   * Waits until all have come.
   *
   * @throws TeamError when one does not come, or has failed; UsageError for another number of processes, and a rank that is taken;
   * Stopped when the job is to stop
   */
  async awaitAll({ shouldStop }: Pick<JobContext, "shouldStop">): Promise<void> {
    const start = seconds();
    for (let notice = FIRST_NOTICE; ; await setTimeout(100)) {
      const state = this.#watch.state();
      this.#check(state);
      for (const [rank, words] of state.words.entries()) {
        const size = wordsIn(words)?.size ?? this.#size;
        if (size === this.#size) continue;
        throw this.#told(
          new UsageError(
            `all processes must have the same WORLD_SIZE; it is ${this.#size} for rank ${this.#rank} and ${size} for rank ${rank}`,
          ),
        );
      }
      const missing = state.words.flatMap((words, rank) => (words === "" ? [rank] : []));
      if (missing.length === 0) return;
      const waited = seconds() - start;
      if (shouldStop()) {
        this.#tell({ reason: `rank ${this.#rank} was stopped while ${list(missing)} had not come` });
        throw new Stopped("stopped while others had not come");
      }
      if (waited > this.#patience.join) {
        throw this.#told(
          new TeamError(
            `${list(missing)} of ${this.#size} did not come to ${this.#place} within ${secondsText(waited)}; start all ${this.#size} processes, or lower WORLD_SIZE`,
          ),
        );
      }
      if (waited > notice) {
        if (this.#rank === 0 || missing.includes(0))
          this.#reporter.warn(`waiting for ${list(missing)} of ${this.#size} at ${this.#place}`);
        notice = 2 * waited;
      }
    }
  }

  /** Tells the others why this process ends. */
  #tell(failure: Failure): void {
    this.#watch.fail(JSON.stringify(failure));
    // With this process ends the store in which the others read it.
    if (this.#rank === 0 && !this.#meeting.isServed) pause(READING_MILLISECONDS);
  }

  #told(error: Error): Error {
    this.#tell({ reason: error.message, isUsage: error instanceof UsageError });
    return error;
  }

  /** Tells the others why this process cannot go on. What they wait for then ends. */
  fail(cause: Error): void {
    this.#end({ reason: `rank ${this.#rank} ended: ${cause.message}`, isUsage: cause instanceof UsageError });
  }

  /** Stops in the middle of a job: in the others, what they wait for and {@link isToStop} throw Stopped. */
  stop(): void {
    this.#end({});
  }

  #end(failure: Failure): void {
    if (this.hasEnded) return;
    this.#tell(failure);
    this[Symbol.dispose]();
  }

  /** Changes what the others read of this process. */
  #say(waits?: number): void {
    if (!this.hasEnded) this.#watch.say(this.#words(waits));
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
        `another process is rank ${this.#rank} at ${this.#place}; give each its own RANK, and each job its own MASTER_PORT`,
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

  /** A collective begins, in which {@link waiting} may be called. */
  begin(): void {
    this.#collectives++;
    this.#longest = Math.max(this.#longest, seconds() - this.#lastEnd);
    this.#noticed = 0;
  }

  /** The collectives that have begun have ended. */
  end(): void {
    this.#lastEnd = seconds();
    if (!this.#isWaiting) return;
    this.#isWaiting = false;
    this.#say();
  }

  /** What a wait in a collective does several times a second. @throws as {@link isToStop}, and TeamError for a process that hangs */
  waiting(waited: number): void {
    const state = this.#watch.state();
    this.#check(state);
    if (waited < NOTICEABLE) return;
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#say(this.#collectives);
    }
    const others = state.words.map((text, rank) => ({ rank, words: wordsIn(text) }));
    const late = others.filter(({ rank, words }) => rank !== this.#rank && words?.waits !== this.#collectives);
    const idle = late.filter(({ words }) => words?.busy === undefined);
    const most = Math.max(this.#patience.lag, LAG_FACTOR * this.#longest);
    if (idle.length > 0 && late.length === idle.length && waited > most) {
      throw this.#told(
        new TeamError(
          `${named(idle[0]?.rank as number, state)} lives, but has not come to where the others have waited for ${secondsText(waited)}: it hangs or is far too slow`,
        ),
      );
    }
    if (waited > this.#noticed + NOTICE_EVERY && late.length > 0) {
      this.#noticed = waited;
      const busy = late.find(({ words }) => words?.busy !== undefined)?.words?.busy;
      this.#reporter.update(
        `waiting for ${list(late.map(({ rank }) => rank))}${busy === undefined ? "" : `: ${busy}`}`,
      );
    }
  }

  /** A connection broke: the error that names the process that is gone. */
  afterBreak(cause: Error): Error {
    const start = seconds();
    for (;;) {
      const state = this.#watch.state();
      try {
        this.#check(state);
      } catch (error) {
        return error as Error;
      }
      if (state.answered > GONE && !this.#meeting.isServed) {
        return goneError(0, state);
      }
      const gone = state.ages.findIndex((age, rank) => age > GONE && rank !== this.#rank);
      if (gone >= 0 && state.answered < GONE) {
        return this.#told(goneError(gone, state));
      }
      if (seconds() - start > this.#patience.silence) {
        return this.#told(new TeamError(`the connection of rank ${this.#rank} to another one broke: ${cause.message}`));
      }
      pause(200);
    }
  }

  /** Runs what takes long on this process alone; the others then wait for it as long as it lives. */
  alone<T>(what: string, body: () => T): T {
    const [before, longest] = [this.#busy, this.#longest];
    const end = (): void => {
      this.#busy = before;
      this.#say();
      this.#lastEnd = seconds();
      this.#longest = longest;
    };
    this.#busy = what;
    this.#say();
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

  /**
   * Whether this process or any other was asked to stop.
   *
   * @param own - whether this process was asked to
   * @throws TeamError when another process has failed or fallen silent; Stopped when one has stopped
   */
  isToStop(own: boolean): boolean {
    if (this.hasEnded) return own;
    const state = this.#watch.state();
    this.#check(state);
    if (own && !this.#isAskedToStop) {
      this.#isAskedToStop = true;
      this.#say();
    }
    return own || state.words.some((words) => wordsIn(words)?.stops === true);
  }

  /** Falls silent. */
  [Symbol.dispose](): void {
    this.hasEnded = true;
    this.#watch[Symbol.dispose]();
  }
}

/**
 * The context of a job: where it reports, its clock, who may stop it, and which of several processes it is. All of it is passed
 * in, so that a command, a program and a test run the same job.
 */

import type { Rank } from "../common/ranks.js";
import type { Team } from "./team.js";

/** Receives the messages of a job. */
export interface Reporter {
  /** A permanent line. */
  print(line: string): void;
  /** A warning: something went wrong, and the job continues. */
  warn(line: string): void;
  /** A permanent line, if {@link update} shows nothing. */
  printPlain(line: string): void;
  /** Progress of the job; the next line replaces it. */
  update(line: string): void;
  /** Removes the last line of {@link update}. */
  clear(): void;
  /** A line as {@link print} shows it, with options in the caller's own notation. Unchanged when left out. */
  wording?(line: string): string;
}

/** Everything that a job receives besides its request. */
export interface JobContext {
  /** Receives the messages. */
  readonly reporter: Reporter;
  /** Called between steps; true ends the job at a point where nothing is lost. */
  shouldStop(): boolean;
  /** Seconds, on a clock that only goes forward. */
  now(): number;
  /** This process among those that divide the work. */
  readonly rank: Rank;
  /** The connection to the others; without it, some jobs can share work through a folder. */
  readonly team?: Team | undefined;
}

/** Discards all messages. */
export const silentReporter: Reporter = { print() {}, warn() {}, printPlain() {}, update() {}, clear() {} };

/** A standalone job: silent, never stopped, in a single process. */
export function jobContext(given: Partial<JobContext> = {}): JobContext {
  return {
    reporter: silentReporter,
    shouldStop: () => false,
    now: () => performance.now() / 1000,
    rank: { rank: 0, size: 1, local: 0 },
    ...given,
  };
}

/** Runs what takes long on one of several processes, which the others then wait for. */
export const alone = <T>({ team }: Pick<JobContext, "team">, what: string, body: () => T): T =>
  team ? team.alone(what, body) : body();

/** The context of what one of several processes does for all of them. */
export const soloContext = (context: JobContext): JobContext => ({
  ...context,
  rank: { ...context.rank, rank: 0, size: 1 },
  team: undefined,
});

/** Thrown in the middle of a step when the job is to stop, so that the user need not wait for the end of a batch. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** @throws Stopped when the job is to stop. */
export function checkStop({ shouldStop }: JobContext): void {
  if (shouldStop()) throw new Stopped("stopped");
}

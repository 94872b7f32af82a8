/**
 * What lies outside of a job: whom it tells, the clock, who may stop it, and which of several processes it is. A job is handed
 * all of it, so that a command, a program and a test run the same job.
 */

import type { Rank } from "../common/ranks.js";

/** Hears what a job has to say. */
export interface Reporter {
  /** A line that stays. */
  print(line: string): void;
  /** A line about something that went wrong, while the job goes on. */
  warn(line: string): void;
  /** A line that stays where {@link update} shows nothing. */
  printPlain(line: string): void;
  /** How far the job is; the next line replaces it. */
  update(line: string): void;
  /** Removes what the last {@link update} has shown. */
  clear(): void;
}

/** Everything that a job is handed beside its request. */
export interface JobContext {
  /** Who is told. */
  readonly reporter: Reporter;
  /** Asked between steps; true ends the job where nothing is lost. */
  shouldStop(): boolean;
  /** Seconds, on a clock that only goes forward. */
  now(): number;
  /** The part of the work that is this process's. */
  readonly rank: Rank;
}

/** Says nothing. */
export const silentReporter: Reporter = { print() {}, warn() {}, printPlain() {}, update() {}, clear() {} };

/** A job by itself: it says nothing, is not stopped, and shares its work with nobody. */
export function jobContext(given: Partial<JobContext> = {}): JobContext {
  return {
    reporter: silentReporter,
    shouldStop: () => false,
    now: () => performance.now() / 1000,
    rank: { rank: 0, size: 1, local: 0 },
    ...given,
  };
}

/** Thrown out of the middle of a step when the job is to stop, so that nobody waits for the end of a batch. */
export class Stopped extends Error {
  override readonly name = "Stopped";
}

/** @throws Stopped when the job is to stop. */
export function checkStop({ shouldStop }: JobContext): void {
  if (shouldStop()) throw new Stopped("stopped");
}

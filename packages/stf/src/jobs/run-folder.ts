/**
 * The run folder during training. Disks fill up, and folders are renamed, deleted or made read-only: lines wait,
 * checkpoints are tried again, and the last ones are written wherever that is possible.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { isOutOfMemory, writeFileAtomically } from "@stf/torch";
import { checkpointBytes } from "../checkpoints/state-file.js";
import { appendLine, Backlog } from "../common/backlog.js";
import { InputError } from "../common/errors.js";
import { freeBytes, isFileProblem, makeFolders, problemOf, removeEmptyFolder } from "../common/folders.js";
import { LOG_FILE, OPTIONS_FILE, STATS_FILE } from "../run/files.js";
import type { StatsLine } from "../run/statistics.js";
import type { CheckpointFacts, LoopResult, TrainingWriter } from "../training/loop.js";
import type { TrainingState } from "../training/state.js";
import type { Reporter } from "./context.js";
import { otherPlaces } from "./rescue.js";

/** Makes the writer for a folder. */
type WriterFor = (folder: string) => TrainingWriter;

/** Paths of the last checkpoints. */
export interface Kept {
  readonly snapshot: string;
  readonly state: string;
  /** What is not at its path, in one line; undefined when everything is. */
  readonly problem: string | undefined;
}

const names = { snapshot: "network snapshot", state: "training state" } as const;

/** A run folder that is written to during training. */
export class RunFolder {
  /** Passes messages on and keeps them in the log. */
  readonly reporter: Reporter;
  readonly #path: string;
  readonly #options: Readonly<Record<string, unknown>>;
  readonly #log: Backlog<string>;
  /** What is written line by line, the log as well, by file. */
  readonly #files = new Map<string, { flush(): unknown }>();
  /** The latest complete training state. */
  readonly #wording: (line: string) => string;
  #state: string | undefined;
  /** Why the last failed checkpoint could not be written. */
  #trouble: unknown;
  /** What was reported about that checkpoint. */
  #facts: CheckpointFacts | undefined;
  #statistics: Backlog<StatsLine> | undefined;
  readonly #freeBytes: (folder: string) => number;
  #isTight = false;

  /**
   * Writes the options.
   *
   * @param path - path of the folder, which must exist
   * @param state - the training state that the run resumes from
   * @param free - bytes that can still be written to a folder
   */
  constructor(
    path: string,
    options: Readonly<Record<string, unknown>>,
    reporter: Reporter,
    state: string | undefined,
    free = freeBytes,
  ) {
    this.#freeBytes = free;
    this.#path = path;
    this.#options = options;
    this.#state = state;
    this.#wording = (line) => reporter.wording?.(line) ?? line;
    this.#log = this.linesOf<string>(LOG_FILE, (line) => appendLine(join(path, LOG_FILE), line));
    const kept = (tell: (line: string) => void) => (line: string) => {
      tell(line);
      this.keepLine(line);
    };
    this.reporter = {
      update: (line) => reporter.update(line),
      clear: () => reporter.clear(),
      printPlain: (line) => reporter.printPlain(line),
      print: kept((line) => reporter.print(line)),
      warn: kept((line) => reporter.warn(line)),
    };
    this.#writeOptions();
  }

  #writeOptions(): void {
    const text = `${JSON.stringify(this.#options, undefined, 2)}\n`;
    writeFileAtomically(join(this.#path, OPTIONS_FILE), new TextEncoder().encode(text));
  }

  /** Makes the folder again if it is missing. */
  #restore(): void {
    if (existsSync(this.#path)) return;
    makeFolders(this.#path);
    this.#writeOptions();
    this.reporter.warn(
      `the run folder ${this.#path} was renamed or deleted; from now on output goes to a new folder of that name`,
    );
  }

  /** Writes a line to the log only. */
  keepLine(line: string): void {
    this.#log.add(this.#wording(line));
  }

  /** What is written line by line to a file of the folder, which may be missing or full for a while. */
  linesOf<T>(file: string, write: (line: T) => void): Backlog<T> {
    const lines = new Backlog<T>(
      (line) => {
        this.#restore();
        write(line);
      },
      (error) =>
        this.reporter.warn(
          `${join(this.#path, file)} cannot be written: ${problemOf(error)}; training continues, and the lines are written later`,
        ),
    );
    this.#files.set(file, lines);
    return lines;
  }

  /** Whether a snapshot would leave no room for the next training state, which matters more. Reported once. */
  #lacksRoom(state: TrainingState): boolean {
    const bytes = checkpointBytes(state);
    const left = this.#freeBytes(this.#path);
    const wasTight = this.#isTight;
    this.#isTight = left < bytes.state + bytes.snapshot;
    if (this.#isTight && !wasTight) {
      this.reporter.warn(
        `the disk of ${this.#path} has only ${(left / 2 ** 20).toFixed(0)} MiB left, which are kept for the next training state: no network snapshots are saved by time until there is more`,
      );
    }
    return this.#isTight;
  }

  /** The writer for the folder; its failures do not stop the training. */
  writer(writerFor: WriterFor): TrainingWriter {
    const writer = writerFor(this.#path);
    const lines = this.linesOf<StatsLine>(STATS_FILE, (line) => writer.statistics(line));
    this.#statistics = lines;
    const attempt = (what: keyof typeof names, state: TrainingState, facts: CheckpointFacts): string | undefined => {
      try {
        this.#restore();
        return writer[what](state, facts);
      } catch (error) {
        if (!isFileProblem(error) && !isOutOfMemory(error)) throw error;
        this.#trouble = error;
        this.#facts = facts;
        const latest = this.latestState;
        const left = latest === undefined ? "" : `; the latest training state is ${latest}`;
        this.reporter.warn(
          `the ${names[what]} after ${state.images} images cannot be written to ${this.#path}: ${problemOf(error)}${left}`,
        );
        return undefined;
      }
    };
    return {
      ...(writer.check && { check: (state: TrainingState) => writer.check?.(state) }),
      statistics: (line) => lines.add(line),
      snapshot: (state, facts) =>
        facts.temporary && this.#lacksRoom(state) ? undefined : attempt("snapshot", state, facts),
      state: (state, facts) => {
        const path = attempt("state", state, facts);
        this.#state = path ?? this.#state;
        return path;
      },
    };
  }

  /** What is missing from the files that are written line by line; undefined if nothing is. */
  unwritten(): string | undefined {
    // All of them, whatever becomes of the first.
    const failed = [...this.#files].map(([file, lines]) => [file, lines.flush()] as const).filter(([, error]) => error);
    const [[, error] = []] = failed;
    if (error === undefined) return undefined;
    const files = failed.map(([file]) => file).join(" and ");
    return `the last lines of ${files} could not be written to ${this.#path}: ${problemOf(error)}`;
  }

  /** The latest complete training state; undefined if there is none. */
  get latestState(): string | undefined {
    return this.#state !== undefined && existsSync(this.#state) ? this.#state : undefined;
  }

  /** The run has gone back to a training state. */
  returnedTo(state: string): void {
    this.#state = state;
  }

  /**
   * Writes the last checkpoints elsewhere if they could not be written here.
   *
   * @throws InputError when they cannot be written anywhere
   */
  keep({ snapshot, state }: Pick<LoopResult, "snapshot" | "state">, last: TrainingState, writerFor: WriterFor): Kept {
    if (snapshot !== undefined && state !== undefined) return { snapshot, state, problem: undefined };
    const facts = this.#facts as CheckpointFacts;
    const failed = `the ${names[state === undefined ? "state" : "snapshot"]} after ${last.images} images could not be written to ${this.#path}`;
    const reason = problemOf(this.#trouble);
    for (const folder of otherPlaces(`${this.#path}-rescued`)) {
      try {
        makeFolders(folder);
        const writer = writerFor(folder);
        const kept = { state: state ?? writer.state(last, facts), snapshot: snapshot ?? writer.snapshot(last, facts) };
        if (kept.state === undefined || kept.snapshot === undefined) continue;
        for (const line of this.#log.waiting) appendLine(join(folder, LOG_FILE), line);
        for (const line of this.#statistics?.waiting ?? []) writer.statistics(line);
        const advice = state === undefined ? `: resume with 'resume=${kept.state}'` : "";
        const problem = `${failed}: ${reason}; it is in ${folder} instead${advice}`;
        return { state: kept.state, snapshot: kept.snapshot, problem };
      } catch (error) {
        if (!isFileProblem(error) && !isOutOfMemory(error)) throw error;
        removeEmptyFolder(folder);
      }
    }
    const latest = this.latestState;
    const left =
      latest === undefined
        ? "there is no training state"
        : `the latest training state is ${latest}: free some space, and resume with 'resume=${latest}'`;
    throw new InputError(`${failed} or anywhere else: ${reason}; ${left}`);
  }
}

/** Lines for files that cannot be written for a while, on a disk that is full. */

import { closeSync, fstatSync, ftruncateSync, openSync, writeFileSync } from "node:fs";

/** Appends a line to a file: all of it or nothing. */
export function appendLine(path: string, line: string): void {
  const descriptor = openSync(path, "a");
  try {
    const { size } = fstatSync(descriptor);
    try {
      writeFileSync(descriptor, `${line}\n`);
    } catch (error) {
      ftruncateSync(descriptor, size);
      throw error;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Writes items in order. Those that cannot be written wait, and are tried again with the next one. */
export class Backlog<T> {
  readonly #write: (item: T) => void;
  readonly #onTrouble: (error: unknown) => void;
  readonly #waiting: T[] = [];
  #trouble: unknown;
  #isWriting = false;

  /** @param onTrouble - hears why, once until everything is written again */
  constructor(write: (item: T) => void, onTrouble: (error: unknown) => void) {
    this.#write = write;
    this.#onTrouble = onTrouble;
  }

  /** What could not be written so far. */
  get waiting(): readonly T[] {
    return this.#waiting;
  }

  add(item: T): void {
    this.#waiting.push(item);
    this.flush();
  }

  /** Tries what waits. Returns why something still does; undefined when nothing does. */
  flush(): unknown {
    // What writes an item may have something to add.
    if (this.#isWriting) return this.#trouble;
    const before = this.#trouble;
    this.#isWriting = true;
    try {
      for (; this.#waiting.length > 0; this.#waiting.shift()) this.#write(this.#waiting[0] as T);
      this.#trouble = undefined;
    } catch (error) {
      this.#trouble = error;
    } finally {
      this.#isWriting = false;
    }
    const found = this.#trouble;
    if (found !== undefined && before === undefined) this.#onTrouble(found);
    return found;
  }
}

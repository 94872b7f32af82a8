/** Lines for files that temporarily cannot be written, for example on a full disk. */

import { closeSync, fstatSync, ftruncateSync, openSync, writeFileSync } from "node:fs";

/** Appends to a file, completely or not at all. */
export function appendBytes(path: string, bytes: string | Uint8Array): void {
  const descriptor = openSync(path, "a");
  try {
    const { size } = fstatSync(descriptor);
    try {
      writeFileSync(descriptor, bytes);
    } catch (error) {
      ftruncateSync(descriptor, size);
      throw error;
    }
  } finally {
    closeSync(descriptor);
  }
}

/** Appends a line to a file, completely or not at all. */
export const appendLine = (path: string, line: string): void => appendBytes(path, `${line}\n`);

/** Writes items in order. Failed ones wait, and are tried again with the next one. */
export class Backlog<T> {
  readonly #write: (item: T) => void;
  readonly #onTrouble: (error: unknown) => void;
  readonly #waiting: T[] = [];
  #trouble: unknown;
  #isWriting = false;

  /** @param onTrouble - receives the reason, once until everything is written again */
  constructor(write: (item: T) => void, onTrouble: (error: unknown) => void) {
    this.#write = write;
    this.#onTrouble = onTrouble;
  }

  /** Items not written yet. */
  get waiting(): readonly T[] {
    return this.#waiting;
  }

  add(item: T): void {
    this.#waiting.push(item);
    this.flush();
  }

  /** Tries the waiting items. Returns why some still wait; undefined if none do. */
  flush(): unknown {
    // Writing an item may add further items.
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

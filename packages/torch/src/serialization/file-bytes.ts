/** Reading parts of a file, each checked against the file's length. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { FileFormatError } from "../errors.js";

/** An open file. Reads are by position, and a read past the end is refused before memory is allocated for it. */
export class FileBytes {
  readonly size: number;
  readonly #descriptor: number;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    const stat = fstatSync(descriptor);
    if (stat.isDirectory()) throw new FileFormatError("it is a folder");
    this.size = stat.size;
  }

  /** @throws FileFormatError when the file ends before */
  read(position: number, length: number): Uint8Array {
    if (!Number.isSafeInteger(position + length) || position + length > this.size) {
      throw new FileFormatError(`it ends at byte ${this.size}, before byte ${position + length}; it is truncated`);
    }
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length; ) {
      const count = readSync(this.#descriptor, bytes, done, Math.min(length - done, 2 ** 30), position + done);
      if (count === 0) throw new FileFormatError(`it ends at byte ${position + done}; it is truncated`);
      done += count;
    }
    return bytes;
  }
}

/**
 * Opens a file while `use` runs.
 *
 * @throws FileFormatError, naming the file, for those that `use` throws
 */
export function withFile<T>(path: string, use: (file: FileBytes) => T): T {
  const descriptor = openSync(path, "r");
  try {
    return use(new FileBytes(descriptor));
  } catch (error) {
    if (error instanceof FileFormatError) {
      throw new FileFormatError(`${path} cannot be read: ${error.message}`, { cause: error });
    }
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

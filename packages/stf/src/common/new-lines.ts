/** The lines that are appended to a file. */

import { closeSync, fstatSync, openSync, readSync } from "node:fs";

/** Reads the lines of a file that have been added since they were last read. */
export class NewLines {
  readonly #path: string;
  #inode: bigint | undefined;
  /** Bytes read, up to the end of a line. */
  #position = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The complete lines that are new, without their ends; all of them the first time, and when the file has been replaced or is shorter
   * than before. A missing file has none.
   *
   * @throws errors of the file system
   */
  read(): { readonly texts: readonly string[]; readonly isFromStart: boolean } {
    let descriptor: number;
    try {
      descriptor = openSync(this.#path, "r");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      this.#inode = undefined;
      this.#position = 0;
      return { texts: [], isFromStart: true };
    }
    try {
      const { ino, size } = fstatSync(descriptor, { bigint: true });
      const isFromStart = ino !== this.#inode || size < this.#position;
      if (isFromStart) this.#position = 0;
      this.#inode = ino;
      const bytes = readFrom(descriptor, this.#position, Number(size) - this.#position);
      const end = bytes.lastIndexOf("\n");
      this.#position += end + 1;
      return { texts: end < 0 ? [] : bytes.toString("utf8", 0, end).split("\n"), isFromStart };
    } finally {
      closeSync(descriptor);
    }
  }
}

function readFrom(descriptor: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  for (let count = -1; done < length && count !== 0; done += count) {
    count = readSync(descriptor, bytes, done, length - done, position + done);
  }
  return bytes.subarray(0, done);
}

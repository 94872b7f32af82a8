/**
 * Zip archives of stored files, written in one pass. yazl, which writes the archives of generated images, goes through all
 * earlier entries for each new one and keeps the bytes of buffers until the end: for a million images neither is bearable.
 */

import { fstatSync } from "node:fs";
import { writeAll } from "@stf/torch";
import { crc32 } from "../codecs/crc32.js";

/** The largest number of a 16-bit field, which refers to the fields of zip64. */
const FULL_16 = 0xffff;
const FULL_32 = 0xffff_ffff;
/** Version of the format with zip64. */
const VERSION = 45;
const MADE_BY_UNIX = 3 << 8;
/** 1 January 1980, in the form of MS-DOS: equal images make equal archives. */
const DATE = 0x0021;
/** A regular file, rw-r--r--. */
const ATTRIBUTES = 0o100644;
/** Entries whose records are joined, so that there are few objects. */
const ENTRIES_PER_BLOCK = 1024;

/** A record of 2- and 4-byte numbers in little-endian order. */
function record(fields: readonly (readonly [value: number, bytes: 2 | 4 | 8])[]): Buffer {
  const bytes = Buffer.alloc(fields.reduce((sum, [, size]) => sum + size, 0));
  let position = 0;
  for (const [value, size] of fields) {
    if (size === 8) bytes.writeBigUInt64LE(BigInt(value), position);
    else bytes.writeUIntLE(value, position, size);
    position += size;
  }
  return bytes;
}

/** Writes an archive to an open file (APPNOTE.TXT of PKWARE, sections 4.3 and 4.5.3). */
export class StoredZip {
  readonly #descriptor: number;
  /** Where the next byte goes. */
  #position: number;
  #count = 0;
  #directory: Buffer[] = [];

  /** @param descriptor - a file open for writing, at whose end the archive begins; it is not closed here */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    this.#position = fstatSync(descriptor).size;
  }

  /** Size of the file in bytes. */
  get size(): number {
    return this.#position;
  }

  #write(bytes: Buffer): void {
    writeAll(this.#descriptor, bytes);
    this.#position += bytes.length;
  }

  /**
   * Adds a file.
   *
   * @param path - with forward slashes, ASCII
   * @throws errors of the file system
   */
  add(path: string, content: Uint8Array): void {
    const name = Buffer.from(path, "latin1");
    const offset = this.#position;
    const isFar = offset >= FULL_32;
    // What the two records of an entry share, from the needed version to the lengths of the name and of the extra fields.
    const common = (extra: number): Buffer =>
      record([
        ...([
          [VERSION, 2],
          [0, 2],
          [0, 2],
          [0, 2],
          [DATE, 2],
          [crc32(content), 4],
        ] as const),
        ...([
          [content.length, 4],
          [content.length, 4],
          [name.length, 2],
          [extra, 2],
        ] as const),
      ]);
    this.#write(Buffer.concat([record([[0x04034b50, 4]]), common(0), name, content]));
    const zip64 = isFar
      ? record([
          [1, 2],
          [8, 2],
          [offset, 8],
        ])
      : Buffer.alloc(0);
    this.#directory.push(
      Buffer.concat([
        record([
          [0x02014b50, 4],
          [MADE_BY_UNIX + VERSION, 2],
        ]),
        common(zip64.length),
        record([
          [0, 2],
          [0, 2],
          [0, 2],
          [ATTRIBUTES * 2 ** 16, 4],
          [isFar ? FULL_32 : offset, 4],
        ]),
        name,
        zip64,
      ]),
    );
    this.#count++;
    if (this.#count % ENTRIES_PER_BLOCK === 0) {
      const block = Buffer.concat(this.#directory.splice(-ENTRIES_PER_BLOCK));
      this.#directory.push(block);
    }
  }

  /** Writes the directory, which makes the archive complete. */
  finish(): void {
    const start = this.#position;
    for (const block of this.#directory) this.#write(block);
    this.#directory = [];
    const [size, end] = [this.#position - start, this.#position];
    const isLarge = this.#count >= FULL_16 || start >= FULL_32 || size >= FULL_32;
    if (isLarge) {
      const counts = [
        [0, 4],
        [0, 4],
        [this.#count, 8],
        [this.#count, 8],
        [size, 8],
        [start, 8],
      ] as const;
      this.#write(record([[0x06064b50, 4], [44, 8], [MADE_BY_UNIX + VERSION, 2], [VERSION, 2], ...counts]));
      this.#write(
        record([
          [0x07064b50, 4],
          [0, 4],
          [end, 8],
          [1, 4],
        ]),
      );
    }
    const count = Math.min(this.#count, FULL_16);
    const place = [
      [isLarge ? FULL_32 : size, 4],
      [isLarge ? FULL_32 : start, 4],
    ] as const;
    this.#write(record([[0x06054b50, 4], [0, 2], [0, 2], [count, 2], [count, 2], ...place, [0, 2]]));
  }
}
